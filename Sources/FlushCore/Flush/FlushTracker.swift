// The flushes that run: who owns which message, what is still open, when a flush has ended. No I/O, no clock.

/// Follows running flushes from event to event.
///
/// A message has one owning flush at a time, from the moment before its release until its first outcome. An outcome may come
/// before the release's own answer does: it is kept until then, so that the counts add up at every moment.
struct FlushTracker {
    /// What one message's attempt meant for the flush that released it.
    enum Outcome: Equatable { case delivered, deferredAgain, bounced, departed }

    /// A flush under way.
    struct Running {
        var flush: Flush
        /// The index's count of recordings at the snapshot; what joining goes by.
        var snapshotRecordings: UInt64
        /// Released or about to be; a message leaves with its outcome.
        fileprivate var owned: Set<QueueID> = []
        /// Outcomes that came before the release's answer.
        fileprivate var early: [QueueID: Outcome] = [:]
        /// Released and not yet settled.
        fileprivate var awaited: Set<QueueID> = []
        fileprivate(set) var isReleasing = true
        /// A released message got an outcome that shows that the site takes mail.
        fileprivate(set) var siteAnswered = false

        /// Every message released so far came back.
        var everyReleaseCameBack: Bool { flush.released > 0 && awaited.isEmpty }
    }

    private var running: [FlushID: Running] = [:]
    private var owners: [QueueID: FlushID] = [:]

    subscript(id: FlushID) -> Running? { running[id] }
    var runningCount: Int { running.count }
    var runningFlushes: some Sequence<Flush> { running.values.lazy.map(\.flush) }

    mutating func start(_ flush: Flush, snapshotRecordings: UInt64) {
        running[flush.id] = Running(flush: flush, snapshotRecordings: snapshotRecordings)
    }

    /// Gives a scheduled flush the snapshot that it starts with.
    mutating func update(_ id: FlushID, snapshotRecordings: UInt64, _ body: (inout Flush) -> Void) {
        guard var entry = running[id] else { return }
        entry.snapshotRecordings = snapshotRecordings
        body(&entry.flush)
        running[id] = entry
    }

    /// Marks a flush as cancelled: it ends when what it has released has its outcomes.
    mutating func cancel(_ id: FlushID) { running[id]?.flush.state = .cancelled }

    /// Makes the flush own a message, or counts it as in delivery when another flush does.
    mutating func claim(_ id: QueueID, for flush: FlushID) -> Bool {
        guard running[flush] != nil else { return false }
        guard owners[id] == nil else {
            running[flush]?.flush.inDelivery += 1
            return false
        }
        owners[id] = flush
        running[flush]?.owned.insert(id)
        return true
    }

    /// Takes the queue's answer about a claimed message.
    mutating func answered(_ id: QueueID, _ result: ReleaseResult, for flush: FlushID) {
        guard running[flush]?.owned.contains(id) == true else { return }
        let early = running[flush]?.early.removeValue(forKey: id)
        if result == .released {
            running[flush]?.flush.released += 1
            if let early {
                disown(id, flush)
                count(early, in: flush)
            } else {
                running[flush]?.awaited.insert(id)
                running[flush]?.flush.open += 1
            }
            return
        }
        disown(id, flush)
        switch result {
        case .released: break
        case .inDelivery: running[flush]?.flush.inDelivery += 1
        case .held: running[flush]?.flush.held += 1
        case .vanished: running[flush]?.flush.vanished += 1
        case .failed(let reason): running[flush]?.flush.lastReason = reason
        }
    }

    /// Gives up claims whose release the queue refused.
    mutating func unclaim(_ ids: [QueueID], reason: String, for flush: FlushID) {
        for id in ids {
            disown(id, flush)
            running[flush]?.early[id] = nil
        }
        running[flush]?.flush.lastReason = reason
    }

    /// Takes an attempt's end. Returns the flush that it concerned.
    mutating func attempted(_ attempt: DeliveryAttempt) -> FlushID? {
        guard let flush = attempt.flush, owners[attempt.id] == flush, let selector = running[flush]?.flush.selector,
            let mode = running[flush]?.flush.mode
        else { return nil }
        // A slow flush tries everything and judges every recipient.
        let judged = mode == .slow ? FlushSelector.everything : selector
        let (outcome, reason) = Self.judge(attempt, for: judged)
        if let reason { running[flush]?.flush.lastReason = reason }
        // A message that came back shows as much as one that got through, if the site had a part in that: a site whose first
        // mailboxes are full must still get the rest.
        let gotSomething = attempt.outcomes.contains { $0.delivered > 0 && judged.means($0.domain) }
        if attempt.siteAnswered || gotSomething { running[flush]?.siteAnswered = true }
        settle(attempt.id, as: outcome, in: flush)
        return flush
    }

    /// Takes the news that a message left and nobody knows how. Returns the flush that it concerned.
    mutating func left(_ id: QueueID) -> FlushID? {
        guard let flush = owners[id] else { return nil }
        settle(id, as: .departed, in: flush)
        return flush
    }

    mutating func endRelease(of flush: FlushID) { running[flush]?.isReleasing = false }

    /// Ends a flush that has nothing open, or whatever it has when `force` names the state to end in. Returns it when it ended.
    mutating func end(_ id: FlushID, at time: Timestamp, force state: Flush.State? = nil) -> Flush? {
        guard let entry = running[id] else { return nil }
        guard state != nil || (!entry.isReleasing && entry.flush.open == 0) else { return nil }
        var flush = entry.flush
        flush.state = flush.state == .cancelled ? .cancelled : state ?? .finished
        flush.finishedAt = time
        for message in entry.owned { owners[message] = nil }
        running[id] = nil
        return flush
    }

    private mutating func settle(_ id: QueueID, as outcome: Outcome, in flush: FlushID) {
        guard running[flush]?.awaited.remove(id) != nil else {
            running[flush]?.early[id] = outcome
            return
        }
        running[flush]?.flush.open -= 1
        disown(id, flush)
        count(outcome, in: flush)
    }

    private mutating func count(_ outcome: Outcome, in flush: FlushID) {
        switch outcome {
        case .delivered: running[flush]?.flush.delivered += 1
        case .deferredAgain: running[flush]?.flush.deferredAgain += 1
        case .bounced: running[flush]?.flush.bounced += 1
        case .departed: running[flush]?.flush.departed += 1
        }
        if outcome != .deferredAgain { running[flush]?.siteAnswered = true }
    }

    private mutating func disown(_ id: QueueID, _ flush: FlushID) {
        running[flush]?.owned.remove(id)
        owners[id] = nil
    }

    /// What an attempt means to a flush: judged only by the recipients in its domains.
    static func judge(_ attempt: DeliveryAttempt, for selector: FlushSelector) -> (Outcome, reason: String?) {
        let meant = attempt.outcomes.filter { selector.means($0.domain) }
        let reason = meant.last { $0.reason != nil }?.reason
        if attempt.remaining?.domains.contains(where: selector.means) == true { return (.deferredAgain, reason) }
        if meant.contains(where: { $0.bounced > 0 }) { return (.bounced, reason) }
        if meant.contains(where: { $0.delivered > 0 }) { return (.delivered, nil) }
        return (.departed, reason)
    }
}

extension FlushSelector {
    /// Whether a recipient in this domain is one that the selector means.
    public func means(_ domain: DomainName) -> Bool {
        switch self {
        case .domain(let own, let subdomains): domain == own || (subdomains && domain.isSubdomain(of: own))
        case .message, .everything: true
        }
    }
}
