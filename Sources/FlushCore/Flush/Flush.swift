// One act of asking for delivery, and what became of it.

/// A flush, as it is told to whoever asks.
///
/// Counts are messages. At every moment `matched = released + inDelivery + held + vanished + unreleased`, and
/// `released = delivered + deferredAgain + bounced + departed + open`.
public struct Flush: Sendable, Equatable {
    public enum Mode: String, Sendable, CaseIterable {
        /// Only the recorded messages of the domain.
        case fast
        /// Every message, because the domain has no record of its own (or because everything was asked for).
        case slow
    }

    public enum State: String, Sendable, CaseIterable {
        case running
        /// Nothing is open, or `flush_outcome_limit` has passed and `open` are the unknowns.
        case finished
        /// Somebody cancelled it; what was not released stayed queued.
        case cancelled
        /// It ran when the process ended; the counts are those known then.
        case interrupted
    }

    public var id: FlushID
    public var selector: FlushSelector
    public var mode: Mode
    public var state: State
    public var via: FlushRequest.Way
    public var requestedBy: String
    public var note: String?
    public var requestedAt: Timestamp
    public var finishedAt: Timestamp?
    /// When a slow flush that must wait for `slow_flush_interval` will start; nil for one that started at once.
    public var scheduledAt: Timestamp?
    /// This answer joins a flush that somebody else had asked for.
    public var coalesced = false
    /// This answer tells what would be matched; nothing was touched.
    public var dryRun = false

    public var matched = 0
    public var matchedBytes = 0
    public var oldestArrival: Timestamp?
    public var released = 0
    public var inDelivery = 0
    public var held = 0
    public var vanished = 0
    public var delivered = 0
    public var deferredAgain = 0
    public var bounced = 0
    public var departed = 0
    public var open = 0
    public var lastReason: String?

    /// Still where they were: their turn has not come, the probes came back, somebody cancelled, or the move failed.
    public var unreleased: Int { matched - released - inDelivery - held - vanished }

    public init(
        id: FlushID, selector: FlushSelector, mode: Mode, state: State = .running, via: FlushRequest.Way, requestedBy: String,
        note: String? = nil, requestedAt: Timestamp
    ) {
        self.id = id
        self.selector = selector
        self.mode = mode
        self.state = state
        self.via = via
        self.requestedBy = requestedBy
        self.note = note
        self.requestedAt = requestedAt
    }
}

/// A flush's name: 26 characters of Crockford's base 32, in the order of time (the ULID layout: 48 bits of milliseconds, 80 of chance).
public struct FlushID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public static let length = 26

    public let description: String

    /// Nil when `text` is no flush ID.
    public init?(_ text: some StringProtocol) {
        let bytes = text.utf8
        guard bytes.count == Self.length, let first = bytes.first, first <= UInt8(ascii: "7"),
            bytes.allSatisfy(Self.alphabet.contains)
        else { return nil }
        description = String(text)
    }

    /// The next name: later than `previous`, also when the clock went back.
    static func next(after previous: FlushID?, at time: Timestamp, random: UInt64) -> FlushID {
        // 48 bits reach to the year 10889; a clock beyond it must not make a name that `init` refuses.
        let milliseconds = UInt64(min(max(0, time.microseconds / 1000), 1 << 48 - 1))
        var bytes = [UInt8]()
        bytes.reserveCapacity(Self.length)
        for shift in stride(from: 45, through: 0, by: -5) { bytes.append(Self.alphabet[Int(milliseconds >> UInt64(shift) & 31)]) }
        for shift in stride(from: 75, through: 0, by: -5) {
            bytes.append(Self.alphabet[Int(shift < 64 ? random >> UInt64(shift) & 31 : 0)])
        }
        let fresh = FlushID(unchecked: String(decoding: bytes, as: UTF8.self))
        guard let previous, fresh <= previous else { return fresh }
        return previous.successor
    }

    /// The next higher name.
    private var successor: FlushID {
        var bytes = Array(description.utf8)
        for i in bytes.indices.reversed() {
            guard let digit = Self.alphabet.firstIndex(of: bytes[i]) else { break }
            if digit < 31 {
                bytes[i] = Self.alphabet[digit + 1]
                break
            }
            bytes[i] = Self.alphabet[0]
        }
        return FlushID(unchecked: String(decoding: bytes, as: UTF8.self))
    }

    private init(unchecked text: String) { description = text }

    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    public static func < (a: FlushID, b: FlushID) -> Bool { a.description < b.description }
}

/// Which flushes are asked for; newest first.
public struct FlushQuery: Sendable, Equatable {
    public var domain: DomainName?
    public var state: Flush.State?
    /// Only those older than this one.
    public var before: FlushID?
    public var limit: Int

    public init(domain: DomainName? = nil, state: Flush.State? = nil, before: FlushID? = nil, limit: Int = 100) {
        self.domain = domain
        self.state = state
        self.before = before
        self.limit = limit
    }
}
