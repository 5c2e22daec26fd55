// A mail queue in memory that does what a test tells it.

import FlushCore
import Synchronization

/// A fake `MailQueue`: messages with places, outcomes on demand or by script, failures on demand, and a log of every release.
///
/// What happens to messages happens only when a test says so (`finish`, `arrive`, `leave`, `hold` …) or when `script` gave their domains
/// a fate. Events come in the order of the calls.
public final class InMemoryQueue: MailQueue {
    /// A call of `release` that was not refused as a whole.
    public struct Release: Sendable, Equatable {
        public var ids: [QueueID]
        public var flush: FlushID?
        public var selector: FlushSelector
        public var unthrottle: Bool
    }

    /// What becomes of mail for a domain as soon as it is released.
    public enum Fate: Sendable, Equatable {
        case delivered
        case deferred(reason: String)
        case bounced(reason: String)
    }

    struct State {
        var messages: [QueueID: QueuedMessage] = [:]
        var releases: [Release] = []
        var released: [QueueID] = []
        /// The flush that released a message which is in delivery.
        var owners: [QueueID: FlushID] = [:]
        var fates: [DomainName: Fate] = [:]
        var isStalled = false
        var releaseResults: [QueueID: ReleaseResult] = [:]
        var releaseFailure: MailQueueError?
        var trouble: String?
        var scanFailure: MailQueueError?
        var describeFailure: MailQueueError?
        var removeFailure: MailQueueError?
        var isGateClosed = false
        var gate: [CheckedContinuation<Void, Never>] = []
        var releaseWaiters: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    public let events: AsyncStream<QueueEvent>
    /// A page of `scan`, in messages.
    public let pageSize: Int
    let state: Mutex<State>
    let continuation: AsyncStream<QueueEvent>.Continuation

    public init(messages: [QueuedMessage] = [], pageSize: Int = 1000) {
        // Unbounded: a test makes as many events as it wants and tells `rescanNeeded` itself.
        (events, continuation) = AsyncStream.makeStream(of: QueueEvent.self, bufferingPolicy: .unbounded)
        self.pageSize = pageSize
        var state = State()
        for message in messages { state.messages[message.id] = message }
        self.state = Mutex(state)
    }

    /// Deferred messages for one domain, each of 1,000 bytes, that arrived one second after the other.
    public convenience init(
        deferred ids: [QueueID], for domain: DomainName, arrival: Timestamp = Timestamp(seconds: 1_700_000_000)
    ) {
        let messages = ids.enumerated().map { offset, id in
            QueuedMessage(id: id, place: .deferred, arrival: arrival + .seconds(offset), size: 1000, domains: [domain])
        }
        self.init(messages: messages)
    }

    // MARK: MailQueue

    public func scan(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(MailQueueError) {
        let (failure, messages) = state.withLock { ($0.scanFailure, Array($0.messages.values)) }
        if let failure { throw failure }
        let sorted = messages.sorted { $0.id < $1.id }
        var start = 0
        while start < sorted.count {
            let end = min(start + pageSize, sorted.count)
            await receive(Array(sorted[start..<end]))
            start = end
        }
    }

    public func describe(_ ids: [QueueID]) async throws(MailQueueError) -> [MessageDescription] {
        let (failure, messages) = state.withLock { state in
            (state.describeFailure, ids.compactMap { state.messages[$0] })
        }
        if let failure { throw failure }
        return messages.map { message in
            MessageDescription(
                id: message.id, place: message.place, arrival: message.arrival, size: message.size, sender: "sender@origin.example",
                recipients: message.domains.map { .init(address: "user@\($0)", state: .pending) })
        }
    }

    public func trouble() async -> String? { currentTrouble }

    public var isKnownToBeReady: Bool { currentTrouble == nil }

    public func release(
        _ ids: [QueueID], by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async throws(MailQueueError) -> [ReleaseResult] {
        await passGate()
        let (failure, results, waiters) = state.withLock { state -> (MailQueueError?, [ReleaseResult], [CheckedContinuation<Void, Never>]) in
            if let failure = state.releaseFailure { return (failure, [], []) }
            state.releases.append(Release(ids: ids, flush: flush, selector: selector, unthrottle: unthrottle))
            var begun: [QueuedMessage] = []
            let results = ids.map { releaseOne($0, by: flush, for: selector, in: &state, begun: &begun) }
            // Not before all have their answer: an ID that comes twice is released once.
            for message in begun { finishByScript(message, in: &state) }
            let count = state.releases.count
            let ready = state.releaseWaiters.filter { $0.count <= count }.map(\.continuation)
            state.releaseWaiters.removeAll { $0.count <= count }
            return (nil, results, ready)
        }
        if let failure { throw failure }
        for waiter in waiters { waiter.resume() }
        return results
    }

    public func remove(_ id: QueueID) async throws(MailQueueError) {
        let failure = state.withLock { state -> MailQueueError? in
            if let failure = state.removeFailure { return failure }
            guard let message = state.messages[id] else { return .notFound(id) }
            guard message.place != .inDelivery else { return .busy(id) }
            state.messages[id] = nil
            continuation.yield(.left(id))
            return nil
        }
        if let failure { throw failure }
    }

    // MARK: Inside

    private func releaseOne(
        _ id: QueueID, by flush: FlushID?, for selector: FlushSelector, in state: inout State, begun: inout [QueuedMessage]
    ) -> ReleaseResult {
        if let scripted = state.releaseResults[id] { return scripted }
        guard var message = state.messages[id], Self.concerns(message, selector) else { return .vanished }
        switch message.place {
        case .held: return .held
        case .inDelivery: return .inDelivery
        case .deferred:
            message.place = .inDelivery
            state.messages[id] = message
            state.released.append(id)
            state.owners[id] = flush
            continuation.yield(.queued(message))
            begun.append(message)
            return .released
        }
    }

    /// Ends the attempt at once when every pending domain has a fate.
    func finishByScript(_ message: QueuedMessage, in state: inout State) {
        guard !message.domains.isEmpty, !state.isStalled else { return }
        var outcomes: [DomainOutcome] = []
        var pending: [DomainName] = []
        for domain in message.domains {
            switch state.fates[domain] {
            case nil: return
            case .delivered: outcomes.append(DomainOutcome(domain: domain, delivered: 1))
            case .bounced(let reason): outcomes.append(DomainOutcome(domain: domain, bounced: 1, reason: reason))
            case .deferred(let reason):
                outcomes.append(DomainOutcome(domain: domain, deferred: 1, reason: reason))
                pending.append(domain)
            }
        }
        apply(Self.attempt(on: message, by: state.owners[message.id], outcomes: outcomes, pending: pending), to: &state)
    }

    func apply(_ attempt: DeliveryAttempt, to state: inout State) {
        state.messages[attempt.id] = attempt.remaining
        state.owners[attempt.id] = nil
        continuation.yield(.attempted(attempt))
    }

    static func attempt(
        on message: QueuedMessage, by flush: FlushID?, outcomes: [DomainOutcome], pending: [DomainName]
    ) -> DeliveryAttempt {
        var remaining: QueuedMessage?
        if !pending.isEmpty {
            var rest = message
            rest.place = .deferred
            rest.domains = pending
            remaining = rest
        }
        return DeliveryAttempt(id: message.id, flush: flush, remaining: remaining, outcomes: outcomes)
    }

    private static func concerns(_ message: QueuedMessage, _ selector: FlushSelector) -> Bool {
        switch selector {
        case .everything: true
        case .message(let id): message.id == id
        case .domain(let domain, let subdomains):
            message.domains.contains { $0 == domain || (subdomains && $0.isSubdomain(of: domain)) }
        }
    }

    private func passGate() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state -> Bool in
                if state.isGateClosed { state.gate.append(continuation) }
                return !state.isGateClosed
            }
            if isOpen { continuation.resume() }
        }
    }
}
