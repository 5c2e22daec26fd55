// What a queue file says of its message.

import FlushCore
import Glibc

/// The envelope of a message, as far as a flush service wants to know it.
struct QueueFile: Equatable, Sendable {
    /// A page of descriptions of messages to everybody must not fill the memory; nobody reads further.
    static let maximumRecipients = 10_000

    struct Recipient: Equatable, Sendable {
        /// Quoted where it has to be, as in Postfix's logs.
        var address: String
        var isPending: Bool
    }

    var arrival = Timestamp(seconds: 0)
    /// As Postfix shows it.
    var size = 0
    var sender = ""
    /// The first `maximumRecipients`, and where a filter has redirected the message.
    var recipients: [Recipient] = []
    /// One of them needs no more attempts.
    var hasDone: Bool { recipients.contains { !$0.isPending } }

    /// Reads everything.
    init(_ records: inout QueueRecords) throws(QueueFileError) {
        var hasTime = false
        var file = QueueFile()
        var redirection: String?
        try records.walk { type, data in
            switch type {
            case QueueRecordType.size: file.size = QueueSizeRecord(data)?.contentBytes ?? file.size
            case QueueRecordType.time:
                if let time = Self.time(data) {
                    file.arrival = time
                    hasTime = true
                }
            case QueueRecordType.sender: file.sender = QuotedAddress.text(data)
            case QueueRecordType.pendingRecipient, QueueRecordType.doneRecipient:
                guard file.recipients.count < Self.maximumRecipients else { return }
                let isPending = type == QueueRecordType.pendingRecipient
                file.recipients.append(.init(address: QuotedAddress.text(data), isPending: isPending))
            case QueueRecordType.redirection: redirection = QuotedAddress.text(data)
            default: break
            }
        }
        guard hasTime else { throw .corrupt("it has no arrival time") }
        // postqueue(1) shows it beside those that it stands for.
        if let redirection, file.recipients.contains(where: \.isPending) {
            file.recipients.append(.init(address: redirection, isPending: true))
        }
        self = file
    }

    private init() {}

    /// Seconds, and microseconds after a space.
    static func time(_ data: UnsafeRawBufferPointer) -> Timestamp? {
        let parts = data.split(separator: UInt8(ascii: " "))
        guard let first = parts.first, let seconds = number(first), seconds <= 1 << 40 else { return nil }
        let microseconds = parts.count > 1 ? number(parts[1]) ?? 0 : 0
        return Timestamp(microseconds: Int64(seconds) * 1_000_000 + Int64(min(microseconds, 999_999)))
    }

    private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> Int? {
        guard !digits.isEmpty, digits.count <= 18 else { return nil }
        var number = 0
        for byte in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            number = number * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return number
    }
}
