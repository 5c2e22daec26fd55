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
