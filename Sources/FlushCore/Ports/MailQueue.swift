// All that the core knows of a mail queue; an engine is a type that passes the `MailQueue` contract suite.

/// The mail queue behind the service.
///
/// The queue on disk is the truth. What it tells through `scan` and `events` corrects the index, never the reverse.
/// Every method may wait for a disk; none is called on the way of an `add`.
public protocol MailQueue: Sendable {
    /// What happens to messages, in the order in which it happened. One consumer; the stream ends when the queue stops.
    ///
    /// A message's events are in order. The stream's backlog is bounded by the engine: when it overflows the engine drops
    /// the backlog and sends `.rescanNeeded`.
    var events: AsyncStream<QueueEvent> { get }

    /// Reads the whole queue, a page at a time, and hands every page to `receive`.
    ///
    /// Messages that come, move or leave meanwhile may be missed or told twice; their events tell.
    func scan(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(MailQueueError)

    /// Reads what the queue knows of these messages, in the same order; those that are gone are left out.
    ///
    /// - Parameter ids: at most a page (1,000).
    func describe(_ ids: [QueueID]) async throws(MailQueueError) -> [MessageDescription]

    /// Asks for delivery of these messages now. Every ID is checked against the disk.
    ///
    /// - Parameters:
    ///   - ids: a batch of the size that the caller wants to wait for.
    ///   - flush: the flush that asks, or nil for a refresh; it comes back in `DeliveryAttempt.flush`, so that the end of an older
    ///     attempt is never taken for the outcome of this release.
    ///   - selector: whose recipients are meant. An engine that can try only these does so; Postfix tries all pending recipients of the message.
    ///   - unthrottle: forget that the destination was found dead, and try these messages all the same. A flush of everything makes the
    ///     engine forget all dead destinations once, at its first batch: each gets an attempt, not each of its messages.
    /// - Returns: what became of each, in the order of `ids`. A released message's outcome comes as an event, always.
    func release(
        _ ids: [QueueID], by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async throws(MailQueueError) -> [ReleaseResult]

    /// Why nothing can be released at this moment, in words for the asker; nil when all is well. Bounded: it is asked before every flush.
    func trouble() async -> String?

    /// True when `trouble` would say nil without a wait; false when it must be asked. An actor knows that on its own executor only.
    var isKnownToBeReady: Bool { get }

    /// Removes a message from the queue without delivering it. Durable when it returns; nobody gets a report.
    ///
    /// - Throws: `MailQueueError.notFound`; `.busy` when it is in delivery; `.unsupported` when the engine leaves that to its own tools.
    func remove(_ id: QueueID) async throws(MailQueueError)
}

/// Why the queue did not do what it was asked.
public enum MailQueueError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No message has this ID.
    case notFound(QueueID)
    /// The message is in delivery at this moment.
    case busy(QueueID)
    /// The engine cannot do that; the text names the tool that can.
    case unsupported(String)
    /// The queue cannot be read or its manager not be reached; asking again later may work.
    case unavailable(String)

    public var description: String {
        switch self {
        case .notFound(let id): "no message has the ID \(id)"
        case .busy(let id): "\(id) is in delivery"
        case .unsupported(let what), .unavailable(let what): what
        }
    }
}

/// Where a message stands.
public enum MessagePlace: Sendable, Equatable {
    /// It waits for its next attempt.
    case deferred
    /// It is being delivered, or is next in line for that (Postfix: incoming and active).
    case inDelivery
    /// An operator has stopped it.
    case held
}

/// A message as the index wants to know it.
public struct QueuedMessage: Sendable, Equatable {
    public var id: QueueID
    public var place: MessagePlace
    public var arrival: Timestamp
    /// The content's size in bytes.
    public var size: Int
    /// The domains of its pending recipients, each once. A recipient whose domain is no `DomainName` (an address literal) has none.
    public var domains: [DomainName]

    public init(id: QueueID, place: MessagePlace, arrival: Timestamp, size: Int, domains: [DomainName]) {
        self.id = id
        self.place = place
        self.arrival = arrival
        self.size = size
        self.domains = domains
    }
}

/// What happened to a message.
public enum QueueEvent: Sendable, Equatable {
    /// It arrived, or it moved (to hold, back from hold, into delivery) without an attempt's end.
    case queued(QueuedMessage)
    /// A delivery attempt ended.
    case attempted(DeliveryAttempt)
    /// It left the queue and nobody can know how: deleted, or requeued under another ID.
    case left(QueueID)
    /// Events were lost; only a scan can tell what they were.
    case rescanNeeded
}

/// The end of a delivery attempt.
public struct DeliveryAttempt: Sendable, Equatable {
    public var id: QueueID
    /// The message as it is now, with the domains still pending; nil when it has left the queue.
    public var remaining: QueuedMessage?
    /// What the attempt did, a row for each domain that it tried.
    public var outcomes: [DomainOutcome]
    /// The flush whose release caused it; nil for the engine's own attempts. A released message has exactly one attempt with its flush's ID.
    public var flush: FlushID?
    /// A next hop was reached and said something, whatever it said: the site is up. False also when the engine cannot know.
    public var siteAnswered: Bool

    public init(id: QueueID, flush: FlushID? = nil, remaining: QueuedMessage?, outcomes: [DomainOutcome], siteAnswered: Bool = false) {
        self.id = id
        self.flush = flush
        self.siteAnswered = siteAnswered
        self.remaining = remaining
        self.outcomes = outcomes
    }
}

/// What an attempt did to a message's recipients in one domain. Counts are recipients.
public struct DomainOutcome: Sendable, Equatable {
    public var domain: DomainName
    public var delivered: Int
    /// Refused for good, or expired.
    public var bounced: Int
    /// Still pending.
    public var deferred: Int
    /// The last reply or error text of a recipient that was not delivered; one line of at most 500 bytes, no control characters.
    public var reason: String?

    public init(domain: DomainName, delivered: Int = 0, bounced: Int = 0, deferred: Int = 0, reason: String? = nil) {
        self.domain = domain
        self.delivered = delivered
        self.bounced = bounced
        self.deferred = deferred
        self.reason = reason
    }
}

/// What `release` did with one message.
public enum ReleaseResult: Sendable, Equatable {
    /// It is on its way; an event will tell its outcome.
    case released
    /// It was in delivery already.
    case inDelivery
    /// It is on hold and stays there.
    case held
    /// It is no longer in the queue, or has no pending recipient that the selector means.
    case vanished
    /// The move failed; it stays where it is.
    case failed(reason: String)
}

/// A message as an operator wants to see it. Addresses are personal data: they have their own scope and never reach a log.
public struct MessageDescription: Sendable, Equatable {
    public var id: QueueID
    public var place: MessagePlace
    public var arrival: Timestamp
    public var size: Int
    /// The reverse-path; empty for the null sender.
    public var sender: String
    public var recipients: [Recipient]
    /// When the engine will try next by itself; nil when it waits to be asked or the engine cannot tell.
    public var nextAttempt: Timestamp?
    /// What the attempts so far said, oldest first; bounded by the engine.
    public var history: [AttemptNote]

    public init(
        id: QueueID, place: MessagePlace, arrival: Timestamp, size: Int, sender: String, recipients: [Recipient],
        nextAttempt: Timestamp? = nil, history: [AttemptNote] = []
    ) {
        self.id = id
        self.place = place
        self.arrival = arrival
        self.size = size
        self.sender = sender
        self.recipients = recipients
        self.nextAttempt = nextAttempt
        self.history = history
    }

    public struct Recipient: Sendable, Equatable {
        public enum State: String, Sendable, CaseIterable {
            case pending, delivered, bounced
            /// Delivered or bounced: it is not pending any more, and the engine does not know which.
            case finished
        }
        public var address: String
        public var state: State
        /// Why it is still pending or was bounced, when known.
        public var reason: String?

        public init(address: String, state: State, reason: String? = nil) {
            self.address = address
            self.state = state
            self.reason = reason
        }
    }

    public struct AttemptNote: Sendable, Equatable {
        public var at: Timestamp
        public var recipient: String
        /// `delivered`, `deferred` or `bounced`.
        public var result: String
        public var text: String

        public init(at: Timestamp, recipient: String, result: String, text: String) {
            self.at = at
            self.recipient = recipient
            self.result = result
            self.text = text
        }
    }
}
