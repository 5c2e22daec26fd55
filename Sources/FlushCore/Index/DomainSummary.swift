// What is told of destinations, messages and the service as a whole.

/// A page of flush domains.
public struct DomainQuery: Sendable, Equatable {
    public var after: DomainName?
    public var prefix: String
    /// Only those with mail waiting.
    public var waitingOnly: Bool
    public var limit: Int

    public init(after: DomainName? = nil, prefix: String = "", waitingOnly: Bool = false, limit: Int = 100) {
        self.after = after
        self.prefix = prefix
        self.waitingOnly = waitingOnly
        self.limit = limit
    }
}

/// A destination with its sums.
public struct DomainSummary: Sendable, Equatable {
    public enum State: String, Sendable, CaseIterable {
        case active
        /// A relay domain that takes no new mail.
        case draining
        /// Mail waits for it, but `fast_flush_domains` does not match it.
        case unlisted
    }

    public struct LastFlush: Sendable, Equatable {
        public var id: FlushID
        public var at: Timestamp
        public var state: Flush.State

        public init(id: FlushID, at: Timestamp, state: Flush.State) {
            self.id = id
            self.at = at
            self.state = state
        }
    }

    public var domain: DomainName
    public var mode: Flush.Mode
    public var state: State
    /// Messages with a pending recipient in the domain, on hold and in delivery included.
    public var messages: Int
    public var bytes: Int
    public var oldestArrival: Timestamp?
    public var lastReason: String?
    public var lastFlush: LastFlush?

    public init(
        domain: DomainName, mode: Flush.Mode, state: State, messages: Int, bytes: Int, oldestArrival: Timestamp?, lastReason: String?,
        lastFlush: LastFlush?
    ) {
        self.domain = domain
        self.mode = mode
        self.state = state
        self.messages = messages
        self.bytes = bytes
        self.oldestArrival = oldestArrival
        self.lastReason = lastReason
        self.lastFlush = lastFlush
    }
}

/// A destination with the ages of its mail.
public struct DomainDetail: Sendable, Equatable {
    /// Upper bounds of the age buckets in minutes, as qshape(1) has them; one more bucket holds what is older.
    public static let ageBucketMinutes = [5, 10, 20, 40, 80, 160, 320, 640, 1280]

    public var summary: DomainSummary
    /// Messages by age: `ageBucketMinutes.count + 1` counts.
    public var ageBuckets: [Int]

    public init(summary: DomainSummary, ageBuckets: [Int]) {
        self.summary = summary
        self.ageBuckets = ageBuckets
    }
}

/// Where the next page of a domain's messages begins.
public struct MessageCursor: Sendable, Equatable {
    public var sequence: UInt32

    public init(sequence: UInt32) { self.sequence = sequence }
}

public struct MessagePage: Sendable, Equatable {
    /// Without their histories; `message` tells them.
    public var messages: [MessageDescription]
    /// Nil on the last page.
    public var next: MessageCursor?

    public init(messages: [MessageDescription], next: MessageCursor?) {
        self.messages = messages
        self.next = next
    }
}

/// One look at the whole service.
public struct FlushStatus: Sendable, Equatable {
    public var startedAt: Timestamp
    /// The first scan has ended: counts are those of the queue.
    public var isIndexComplete: Bool
    public var messages: Int
    public var bytes: Int
    public var oldestArrival: Timestamp?
    /// Domains with a record, and of these the ones with mail.
    public var domains: Int
    public var waitingDomains: Int
    public var relayDomains: Int
    public var flushesRunning: Int
    public var flushesRequested: Int
    public var messagesReleased: Int
    public var delivered: Int
    public var deferredAgain: Int
    public var bounced: Int
    public var departed: Int
    public var adds: Int
    public var lastReconcile: Reconcile?

    public init(
        startedAt: Timestamp, isIndexComplete: Bool, messages: Int, bytes: Int, oldestArrival: Timestamp?, domains: Int, waitingDomains: Int,
        relayDomains: Int, flushesRunning: Int, flushesRequested: Int, messagesReleased: Int, delivered: Int, deferredAgain: Int, bounced: Int,
        departed: Int, adds: Int, lastReconcile: Reconcile?
    ) {
        self.startedAt = startedAt
        self.isIndexComplete = isIndexComplete
        self.messages = messages
        self.bytes = bytes
        self.oldestArrival = oldestArrival
        self.domains = domains
        self.waitingDomains = waitingDomains
        self.relayDomains = relayDomains
        self.flushesRunning = flushesRunning
        self.flushesRequested = flushesRequested
        self.messagesReleased = messagesReleased
        self.delivered = delivered
        self.deferredAgain = deferredAgain
        self.bounced = bounced
        self.departed = departed
        self.adds = adds
        self.lastReconcile = lastReconcile
    }

    /// A comparison of the index with the queue.
    public struct Reconcile: Sendable, Equatable {
        public var at: Timestamp
        /// Messages that the index did not have.
        public var missing: Int
        /// Messages that the queue did not have.
        public var stale: Int
        /// Messages recorded for other domains than their pending ones.
        public var changed: Int
        /// Why it failed; nil when it did not.
        public var failure: String?

        public init(at: Timestamp, missing: Int, stale: Int, changed: Int, failure: String?) {
            self.at = at
            self.missing = missing
            self.stale = stale
            self.changed = changed
            self.failure = failure
        }
    }
}
