// The queue's events on their way to the one who follows them; who sends waits when that one is behind.

import FlushCore
import Synchronization

/// A bounded channel for one sender and one receiver. Nothing is dropped: the sender's own backlog is news by message, which does not grow
/// with the number of moves.
final class EventChannel: Sendable {
    /// About a megabyte.
    static let capacity = 4_096

    private struct State {
        var events: [QueueEvent] = []
        var taken = 0
        var receiver: CheckedContinuation<QueueEvent?, Never>?
        var sender: CheckedContinuation<Void, Never>?
        var hasEnded = false
    }

    private let state = Mutex(State())
    private let capacity: Int

    init(capacity: Int = EventChannel.capacity) { self.capacity = capacity }

    /// For one receiver. Ends after `end()`, when everything has been taken.
    var stream: AsyncStream<QueueEvent> {
        AsyncStream {
            await self.next()
        } onCancel: {
            self.releaseReceiver()
        }
    }

    /// Hands over an event, when there is room for it; after `end()` it is dropped.
    nonisolated(nonsending) func send(_ event: QueueEvent) async {
        await withCheckedContinuation { continuation in
            let (receiver, isDone) = state.withLock { state -> (CheckedContinuation<QueueEvent?, Never>?, Bool) in
                if state.hasEnded { return (nil, true) }
                if let receiver = state.receiver {
                    state.receiver = nil
                    return (receiver, true)
                }
                state.events.append(event)
                guard state.events.count - state.taken >= capacity else { return (nil, true) }
                precondition(state.sender == nil, "the channel has one sender")
                state.sender = continuation
                return (nil, false)
            }
            receiver?.resume(returning: event)
            if isDone { continuation.resume() }
        }
    }

    func end() {
        let (receiver, sender) = state.withLock { state in
            state.hasEnded = true
            defer {
                state.receiver = nil
                state.sender = nil
            }
            return (state.receiver, state.sender)
        }
        receiver?.resume(returning: nil)
        sender?.resume()
    }

    private func next() async -> QueueEvent? {
        await withCheckedContinuation { continuation in
            let (ready, sender) = state.withLock { state -> (QueueEvent??, CheckedContinuation<Void, Never>?) in
                if state.taken < state.events.count {
                    let event = state.events[state.taken]
                    state.taken += 1
                    if state.taken == state.events.count || state.taken >= 1_024 {
                        state.events.removeFirst(state.taken)
                        state.taken = 0
                    }
                    defer { state.sender = nil }
                    return (.some(event), state.sender)
                }
                if state.hasEnded || state.receiver != nil || Task.isCancelled { return (.some(nil), nil) }
                state.receiver = continuation
                return (nil, nil)
            }
            sender?.resume()
            if let ready { continuation.resume(returning: ready) }
        }
    }

    /// The receiver's task was cancelled.
    private func releaseReceiver() {
        let receiver = state.withLock { state in
            defer { state.receiver = nil }
            return state.receiver
        }
        receiver?.resume(returning: nil)
    }
}
