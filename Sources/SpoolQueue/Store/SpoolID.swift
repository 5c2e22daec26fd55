// Queue IDs of the spool: short, sorted by time, never given twice.

import FlushCore

/// Makes queue IDs: nine digits of microseconds since 1970, then two random ones, in base 62 with the digits in ASCII order.
///
/// Within a process the time part always grows. Over restarts it goes on from the newest ID in the spool, so a clock that was set back
/// makes no ID that is in use. Eleven bytes (fourteen for a report) are stored inside a Swift string, without an allocation.
struct SpoolID: Sendable {
    static let timeDigits = 9
    static let randomDigits = 2
    /// Enough for each number of recipients that a message can have.
    static let reportDigits = 3
    private static let base: Int64 = 62
    private static let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
    /// One more than the largest time part: the year 2398.
    private static let timeLimit: Int64 = 13_537_086_546_263_552

    private var last: Int64 = 0
    /// Where the random digits come from.
    private var random: any RandomNumberGenerator & Sendable

    init(random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()) { self.random = random }

    /// The next ID, for a message that arrives at `time`.
    mutating func next(at time: Timestamp) -> QueueID {
        last = max(last + 1, time.microseconds)
        let digits = Int64.random(in: 0..<Self.base * Self.base, using: &random)
        let text = Self.text(last % Self.timeLimit, digits: Self.timeDigits) + Self.text(digits, digits: Self.randomDigits)
        return Self.queueID(text)
    }

    /// Never again makes an ID that sorts before `id`, which was found in the spool.
    mutating func noteExisting(_ id: QueueID) {
        guard let time = Self.time(of: id) else { return }
        last = max(last, time)
    }

    /// The ID of the report about a message that already has `reported` recipients in earlier reports.
    ///
    /// The same question always has the same answer: a report that a crash interrupted is found again instead of being made twice.
    static func report(of id: QueueID, reported: Int) -> QueueID {
        queueID(id.description + text(Int64(reported) % (base * base * base), digits: reportDigits))
    }

    static func time(of id: QueueID) -> Int64? {
        let bytes = id.description.utf8
        guard bytes.count >= timeDigits + randomDigits else { return nil }
        var value: Int64 = 0
        for byte in bytes.prefix(timeDigits) {
            guard let digit = digits.firstIndex(of: byte) else { return nil }
            value = value * base + Int64(digit)
        }
        return value
    }

    static func text(_ value: Int64, digits count: Int = timeDigits) -> String {
        var value = value
        var bytes = [UInt8](repeating: digits[0], count: count)
        for i in stride(from: count - 1, through: 0, by: -1) {
            bytes[i] = digits[Int(value % base)]
            value /= base
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func queueID(_ text: String) -> QueueID {
        guard let id = QueueID(text) else { preconditionFailure("base 62 digits make a queue ID") }
        return id
    }
}
