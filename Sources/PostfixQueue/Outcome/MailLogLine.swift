// A line of Postfix's log that tells what became of a recipient.

import FlushCore
import Glibc

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
    init?(_ line: String) {
        var line = line
        guard let read = line.withUTF8({ MailLogLine(UnsafeRawBufferPointer($0)) }) else { return nil }
        self = read
    }

    /// By bytes: a busy Postfix writes thousands of lines a second.
    private init?(_ line: UnsafeRawBufferPointer) {
        // The program's name and process end with this; what a client or a server says comes later.
        guard let start = line.firstRange(of: "]: ", from: 0)?.upperBound, let colon = line.firstRange(of: ":", from: start)?.lowerBound,
            let id = QueueID(line.text(start..<colon))
        else { return nil }
        self.id = id
        let fields = colon + 1
        if line.has(" removed", at: fields), line.count == fields + 8 {
            status = .removed
            return
        }
        guard line.has(" to=<", at: fields), let end = line.firstRange(of: ">, ", from: fields),
            let outcome = line.firstRange(of: ", status=", from: end.upperBound)?.upperBound
        else { return nil }
        let word = outcome..<(line.firstRange(of: " ", from: outcome)?.lowerBound ?? line.count)
        switch line.text(word) {
        case "sent": status = .sent
        case "bounced", "expired", "undeliverable": status = .bounced
        case "deferred", "SOFTBOUNCE": status = .deferred
        default: return nil
        }
        recipient = line.text(fields + 5..<end.lowerBound)
        guard status != .sent, let words = line.firstRange(of: "(", from: outcome)?.upperBound else { return }
        text = DeferLog.oneLine(line.text(words..<(line.last == UInt8(ascii: ")") ? max(words, line.count - 1) : line.count)))
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func text(_ range: Range<Int>) -> String { String(decoding: self[range], as: UTF8.self) }

    fileprivate func has(_ text: StaticString, at position: Int) -> Bool {
        self[position...].starts(with: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// The first place of a text at or behind `position`.
    fileprivate func firstRange(of text: StaticString, from position: Int) -> Range<Int>? {
        guard let base = baseAddress else { return nil }
        var position = position
        while position < count, let found = memchr(base + position, CInt(text.utf8Start.pointee), count - position) {
            position = UnsafeRawPointer(found) - base
            if has(text, at: position) { return position..<position + text.utf8CodeUnitCount }
            position += 1
        }
        return nil
    }
}
