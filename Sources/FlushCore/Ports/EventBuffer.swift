// A queue's events on their way to the one who follows them: what every engine's `events` is made of.

import Synchronization

/// A bounded buffer of events, for one consumer.
///
/// An engine chooses what happens when the consumer is behind: `send` never waits, and a full buffer is forgotten for one `.rescanNeeded`;
/// `sendWaiting` waits for room, so that nothing is lost of what was made once.
public final class EventBuffer: Sendable {
    /// About 10 MB when full; an outcome needs some 150 bytes.
    public static let maximumEvents = 65_536

    private struct State {
        var events: [QueueEvent] = []
        /// How many of `events` have been taken.
        var taken = 0
        var consumer: CheckedContinuation<QueueEvent?, Never>?
        /// Waits for room.
        var sender: CheckedContinuation<Void, Never>?
        var hasEnded = false

        var count: Int { events.count - taken }

        /// Steps over the event at `taken`; what was taken is given back when it is half of all, so that taking one costs O(1).
        mutating func forget() {
            taken += 1
            guard taken == events.count || (taken >= 1_024 && taken >= events.count / 2) else { return }
            events.removeFirst(taken)
            taken = 0
        }

        mutating func takeConsumer() -> CheckedContinuation<QueueEvent?, Never>? {
            defer { consumer = nil }
            return consumer
        }

        mutating func takeSender() -> CheckedContinuation<Void, Never>? {
            defer { sender = nil }
            return sender
        }
    }

    private let state = Mutex(State())
    private let limit: Int

    public init(limit: Int = EventBuffer.maximumEvents) {
        precondition(limit > 0, "a buffer has room for an event")
        self.limit = limit
    }

    /// For one consumer. Ends after `end()`, when everything has been taken.
    public var stream: AsyncStream<QueueEvent> {
        AsyncStream {
            await self.next()
        } onCancel: {
            self.state.withLock { $0.takeConsumer() }?.resume(returning: nil)
        }
    }

    /// Adds an event. When the buffer is full all of it is forgotten, this event included, for one `.rescanNeeded`. After `end()`
    /// the event is dropped.
    public func send(_ event: QueueEvent) {
        let (consumer, sender) = state.withLock { state -> (CheckedContinuation<QueueEvent?, Never>?, CheckedContinuation<Void, Never>?) in
            guard !state.hasEnded else { return (nil, nil) }
            if let consumer = state.takeConsumer() { return (consumer, nil) }
            guard state.count >= limit else {
                state.events.append(event)
                return (nil, nil)
            }
            state.events = [.rescanNeeded]
            state.taken = 0
            return (nil, state.takeSender())
        }
        consumer?.resume(returning: event)
        sender?.resume()
    }

    /// Adds an event, and returns when there is room for another: for one sender at a time. After `end()` the event is dropped.
    nonisolated(nonsending) public func sendWaiting(_ event: QueueEvent) async {
        await withCheckedContinuation { continuation in
            let (consumer, isDone) = state.withLock { state -> (CheckedContinuation<QueueEvent?, Never>?, Bool) in
                if state.hasEnded { return (nil, true) }
                if let consumer = state.takeConsumer() { return (consumer, true) }
                state.events.append(event)
                guard state.count >= limit else { return (nil, true) }
                precondition(state.sender == nil, "one sender at a time waits")
                state.sender = continuation
                return (nil, false)
            }
            consumer?.resume(returning: event)
            if isDone { continuation.resume() }
        }
    }

    /// Ends the stream, after what is in the buffer. Who waits for room goes on.
    public func end() {
        let (consumer, sender) = state.withLock { state in
            state.hasEnded = true
            return (state.takeConsumer(), state.takeSender())
        }
        consumer?.resume(returning: nil)
        sender?.resume()
    }

    private func next() async -> QueueEvent? {
        await withCheckedContinuation { continuation in
            let (ready, sender) = state.withLock { state -> (QueueEvent??, CheckedContinuation<Void, Never>?) in
                if state.taken < state.events.count {
                    let event = state.events[state.taken]
                    state.forget()
                    return (.some(event), state.takeSender())
                }
                if state.hasEnded || state.consumer != nil || Task.isCancelled { return (.some(nil), nil) }
                state.consumer = continuation
                return (nil, nil)
            }
            sender?.resume()
            if let ready { continuation.resume(returning: ready) }
        }
    }
}
