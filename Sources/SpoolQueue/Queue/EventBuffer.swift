// The queue's events on their way to the one who follows them.

import FlushCore
import Synchronization

/// A bounded buffer of events. On overflow it forgets them all and says so.
final class EventBuffer: Sendable {
    /// About 10 MB when full; an outcome needs some 150 bytes.
    static let maximumEvents = 65_536

    private struct State {
        var events: [QueueEvent] = []
        /// How many of `events` have been taken.
        var taken = 0
        var consumer: CheckedContinuation<QueueEvent?, Never>?
        var hasEnded = false

        /// Steps over the event at `taken`; what was taken is given back in large steps, so that taking one costs O(1).
        mutating func forget() {
            taken += 1
            guard taken == events.count || taken >= 1_024 else { return }
            events.removeFirst(taken)
            taken = 0
        }
    }

    private let state = Mutex(State())
    private let limit: Int

    init(limit: Int = EventBuffer.maximumEvents) { self.limit = limit }

    /// For one consumer. Ends after `end()`, when everything has been taken.
    var stream: AsyncStream<QueueEvent> {
        AsyncStream {
            await self.next()
        } onCancel: {
            self.release()
        }
    }

    func send(_ event: QueueEvent) {
        let consumer = state.withLock { state -> CheckedContinuation<QueueEvent?, Never>? in
            guard !state.hasEnded else { return nil }
            if let consumer = state.consumer {
                state.consumer = nil
                return consumer
            }
            if state.events.count - state.taken >= limit {
                state.events = [.rescanNeeded]
                state.taken = 0
            } else {
                state.events.append(event)
            }
            return nil
        }
        consumer?.resume(returning: event)
    }

    func end() {
        let consumer = state.withLock { state in
            state.hasEnded = true
            defer { state.consumer = nil }
            return state.consumer
        }
        consumer?.resume(returning: nil)
    }

    private func next() async -> QueueEvent? {
        await withCheckedContinuation { continuation in
            let ready = state.withLock { state -> QueueEvent?? in
                if state.taken < state.events.count {
                    defer { state.forget() }
                    return .some(state.events[state.taken])
                }
                if state.hasEnded || state.consumer != nil || Task.isCancelled { return .some(nil) }
                state.consumer = continuation
                return nil
            }
            if let ready { continuation.resume(returning: ready) }
        }
    }

    /// The consumer's task was cancelled.
    private func release() {
        let consumer = state.withLock { state in
            defer { state.consumer = nil }
            return state.consumer
        }
        consumer?.resume(returning: nil)
    }
}
