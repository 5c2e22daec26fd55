// What a queue file says of its message.

import FlushCore
import Glibc

/// The envelope of a message, as far as a flush service wants to know it.
struct QueueFile: Equatable, Sendable {
    struct Recipient: Equatable, Sendable {
        var address: String
        var isPending: Bool
    }

    var arrival = Timestamp(seconds: 0)
    /// As Postfix shows it.
    var size = 0
    var sender = ""
    var recipients: [Recipient] = []

    /// Reads everything.
    init(_ records: inout QueueRecords) throws(QueueFileError) {
        var hasTime = false
        var file = QueueFile()
        try records.walk { type, data in
            switch type {
            case QueueRecordType.size: file.size = QueueSizeRecord(data)?.contentBytes ?? file.size
            case QueueRecordType.time:
                if let time = Self.time(data) {
                    file.arrival = time
                    hasTime = true
                }
            case QueueRecordType.sender: file.sender = String(decoding: data, as: UTF8.self)
            case QueueRecordType.pendingRecipient: file.recipients.append(.init(address: String(decoding: data, as: UTF8.self), isPending: true))
            case QueueRecordType.doneRecipient: file.recipients.append(.init(address: String(decoding: data, as: UTF8.self), isPending: false))
            default: break
            }
        }
        guard hasTime else { throw .corrupt("it has no arrival time") }
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
