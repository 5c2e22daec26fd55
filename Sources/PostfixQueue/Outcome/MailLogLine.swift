// A line of Postfix's log that tells what became of a recipient.

import FlushCore

/// `… postfix/smtp[123]: QUEUEID: to=<user@domain>, relay=…, dsn=…, status=sent (250 ok)`, and `… postfix/qmgr[123]: QUEUEID: removed`
struct MailLogLine: Equatable, Sendable {
    enum Status: Equatable, Sendable {
        case sent, bounced, deferred
        /// The message has left the queue, after all that is said of its recipients.
        case removed
    }

    var id: QueueID
    /// Empty when the message is meant.
    var recipient = ""
    var status: Status
    /// What stands in the brackets behind the status of a recipient that was not delivered.
    var text = ""

    /// Nil for every other line.
    init?(_ line: some StringProtocol) {
        // The program's name and process end with this; what a client or a server says comes later.
        guard let start = line.firstRange(of: "]: ")?.upperBound else { return nil }
        let rest = line[start...]
        guard let colon = rest.firstIndex(of: ":"), let id = QueueID(rest[..<colon]) else { return nil }
        let fields = rest[rest.index(after: colon)...]
        if fields == " removed" {
            self.id = id
            status = .removed
            return
        }
        guard fields.hasPrefix(" to=<"), let end = fields.firstRange(of: ">, ") else { return nil }
        let recipient = fields[fields.index(fields.startIndex, offsetBy: 5)..<end.lowerBound]
        guard let mark = fields[end.upperBound...].firstRange(of: ", status=") else { return nil }
        let outcome = fields[mark.upperBound...]
        switch outcome.prefix(while: { $0 != " " }) {
        case "sent": status = .sent
        case "bounced", "expired", "undeliverable": status = .bounced
        case "deferred", "SOFTBOUNCE": status = .deferred
        default: return nil
        }
        self.id = id
        self.recipient = String(recipient)
        guard status != .sent else { return }
        let words = outcome.drop { $0 != "(" }.dropFirst()
        text = DeferLog.oneLine(String(words.hasSuffix(")") ? words.dropLast() : words))
    }
}

extension StringProtocol {
    /// The first place of an ASCII text, found by bytes.
    fileprivate func firstRange(of text: StaticString) -> Range<Index>? {
        let pattern = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        var start = utf8.startIndex
        while start < utf8.endIndex {
            if utf8[start...].starts(with: pattern) { return start..<utf8.index(start, offsetBy: pattern.count) }
            start = utf8.index(after: start)
        }
        return nil
    }
}
