// How a test moves the fake queue: what happens to its messages, what fails, what was asked of it.

import FlushCore
import Synchronization

extension InMemoryQueue {
    // MARK: What was asked

    /// Every release so far, in order.
    public var releaseCalls: [Release] { state.withLock { $0.releases } }

    /// The IDs of every release so far, in order.
    public var releases: [[QueueID]] { state.withLock { $0.releases.map(\.ids) } }

    /// Whether each release asked to forget dead destinations, in order.
    public var unthrottled: [Bool] { state.withLock { $0.releases.map(\.unthrottle) } }

    /// The messages that really left deferred, in order.
    public var released: [QueueID] { state.withLock { $0.released } }

    /// What is in the queue now, by ID.
    public var messages: [QueueID: QueuedMessage] { state.withLock { $0.messages } }

    /// Returns as soon as `release` has been carried out at least `count` times.
    public func waitForReleases(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state -> Bool in
                if state.releases.count >= count { return true }
                state.releaseWaiters.append((count, continuation))
                return false
            }
            if isReady { continuation.resume() }
        }
    }

    /// The flush that released a message which is in delivery now.
    public func owner(of id: QueueID) -> FlushID? { state.withLock { $0.owners[id] } }

    // MARK: What happens to messages

    /// A message arrives, or replaces what the queue held under its ID.
    public func arrive(_ message: QueuedMessage) {
        state.withLock { state in
            state.messages[message.id] = message
            continuation.yield(.queued(message))
        }
    }

    /// A delivery attempt ends: the message becomes what `attempt.remaining` says. `attempt.flush` is passed on as it is; see `owner(of:)`.
    public func finish(_ attempt: DeliveryAttempt) {
        state.withLock { apply(attempt, to: &$0) }
    }

    /// An attempt delivers the message, one recipient in each pending domain.
    public func deliver(_ id: QueueID) {
        end(id, pending: false) { DomainOutcome(domain: $0, delivered: 1) }
    }

    /// An attempt defers the message for all its pending domains.
    public func deferAgain(_ id: QueueID, reason: String = "connection refused") {
        end(id, pending: true) { DomainOutcome(domain: $0, deferred: 1, reason: reason) }
    }

    /// An attempt bounces the message in all its pending domains.
    public func bounce(_ id: QueueID, reason: String = "550 no such user") {
        end(id, pending: false) { DomainOutcome(domain: $0, bounced: 1, reason: reason) }
    }

    /// A message leaves and nobody knows how.
    public func leave(_ id: QueueID) {
        state.withLock { state in
            state.messages[id] = nil
            state.owners[id] = nil
            continuation.yield(.left(id))
        }
    }

    /// An operator stops a message.
    public func hold(_ id: QueueID) { move(id, to: .held) }

    /// An operator lets a message go on waiting.
    public func unhold(_ id: QueueID) { move(id, to: .deferred) }

    /// The engine begins an attempt of its own accord.
    public func begin(_ id: QueueID) { move(id, to: .inDelivery) }

    /// Changes the content and tells nobody, as when events are lost.
    public func changeSilently(_ change: (inout [QueueID: QueuedMessage]) -> Void) {
        state.withLock { change(&$0.messages) }
    }

    /// Tells that events were lost.
    public func loseEvents() { continuation.yield(.rescanNeeded) }

    /// The queue stops: the stream of events ends.
    public func stop() { continuation.finish() }

    // MARK: Scripts and failures

    /// Mail for `domain` meets this fate in the moment of its release; nil makes it wait for `finish` again.
    public func script(_ fate: Fate?, for domain: DomainName) {
        state.withLock { $0.fates[domain] = fate }
    }

    /// Scripts wait from now on: what is in delivery stays there.
    public func stall() { state.withLock { $0.isStalled = true } }

    /// Scripts go on, and end the attempts that wait for them.
    public func resume() {
        state.withLock { state in
            state.isStalled = false
            for message in state.messages.values.filter({ $0.place == .inDelivery }).sorted(by: { $0.id < $1.id }) {
                finishByScript(message, in: &state)
            }
        }
    }

    /// Answers for single IDs, whatever the queue holds; such a message is not touched.
    public var releaseResults: [QueueID: ReleaseResult] {
        get { state.withLock { $0.releaseResults } }
        set { state.withLock { $0.releaseResults = newValue } }
    }

    /// What `trouble()` answers.
    public var currentTrouble: String? {
        get { state.withLock { $0.trouble } }
        set { state.withLock { $0.trouble = newValue } }
    }

    public var releaseFailure: MailQueueError? {
        get { state.withLock { $0.releaseFailure } }
        set { state.withLock { $0.releaseFailure = newValue } }
    }

    public var scanFailure: MailQueueError? {
        get { state.withLock { $0.scanFailure } }
        set { state.withLock { $0.scanFailure = newValue } }
    }

    public var describeFailure: MailQueueError? {
        get { state.withLock { $0.describeFailure } }
        set { state.withLock { $0.describeFailure = newValue } }
    }

    public var removeFailure: MailQueueError? {
        get { state.withLock { $0.removeFailure } }
        set { state.withLock { $0.removeFailure = newValue } }
    }

    /// From now on `release` waits before it does anything, as on a slow disk.
    public func closeGate() { state.withLock { $0.isGateClosed = true } }

    /// Lets waiting and future releases go on.
    public func openGate() {
        let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.isGateClosed = false
            defer { state.gate = [] }
            return state.gate
        }
        for continuation in waiting { continuation.resume() }
    }

    // MARK: Inside

    private func move(_ id: QueueID, to place: MessagePlace) {
        state.withLock { state in
            guard var message = state.messages[id] else { return }
            message.place = place
            state.messages[id] = message
            continuation.yield(.queued(message))
        }
    }

    private func end(_ id: QueueID, pending: Bool, outcome: (DomainName) -> DomainOutcome) {
        state.withLock { state in
            guard let message = state.messages[id] else { return }
            let attempt = Self.attempt(
                on: message, by: state.owners[id], outcomes: message.domains.map(outcome), pending: pending ? message.domains : [])
            apply(attempt, to: &state)
        }
    }
}
