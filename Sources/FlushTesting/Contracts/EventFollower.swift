// Follows a mail queue's events for a contract case, with an end to every wait.

import FlushCore
import Synchronization

/// The one consumer of a queue's events. It takes none before it is asked for the first time, so that a case can let them pile up.
public final class EventFollower: Sendable {
    /// The longest wait for something that a queue must tell.
    public static let patience = Duration.seconds(60)

    struct Seen: Sendable {
        var events: [QueueEvent] = []
        /// The queue has stopped, and this is all it told.
        var hasEnded = false

        /// The ends of this message's attempts, in order.
        func attempts(on id: QueueID) -> [DeliveryAttempt] {
            events.compactMap { event in
                guard case .attempted(let attempt) = event, attempt.id == id else { return nil }
                return attempt
            }
        }

        /// What was told of this message, in order.
        func events(about id: QueueID) -> [QueueEvent] {
            events.filter { event in
                switch event {
                case .queued(let message): message.id == id
                case .attempted(let attempt): attempt.id == id
                case .left(let other): other == id
                case .rescanNeeded: false
                }
            }
        }
    }

    private struct Waiter {
        let condition: @Sendable (Seen) -> Bool
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var seen = Seen()
        var isFollowing = false
        var lastNumber = 0
        var waiters: [Int: Waiter] = [:]
    }

    private let queue: any MailQueue
    private let state = Mutex(State())

    public init(of queue: any MailQueue) { self.queue = queue }

    /// Returns what was told so far, as soon as it satisfies `condition`.
    ///
    /// - Throws: `ContractViolation` after `patience`, or when the stream has ended before.
    @discardableResult
    func wait(
        for what: String, file: StaticString = #fileID, line: UInt = #line, until condition: @escaping @Sendable (Seen) -> Bool
    ) async throws -> Seen {
        let number = begin()
        let timer = Task {
            try? await Task.sleep(for: Self.patience)
            if !Task.isCancelled { giveUp(number) }
        }
        defer { timer.cancel() }
        let isMet = await withCheckedContinuation { continuation in
            let answer = state.withLock { state -> Bool? in
                if condition(state.seen) { return true }
                if state.seen.hasEnded { return false }
                state.waiters[number] = Waiter(condition: condition, continuation: continuation)
                return nil
            }
            if let answer { continuation.resume(returning: answer) }
        }
        let seen = state.withLock { $0.seen }
        guard isMet else {
            let end = seen.hasEnded ? "the stream ended" : "nothing more came"
            throw ContractViolation(description: "\(file):\(line): \(what) was not told; \(end) after \(seen.events)")
        }
        return seen
    }

    /// Starts following, and numbers a wait.
    private func begin() -> Int {
        let (isFirst, number) = state.withLock { state in
            defer { state.isFollowing = true }
            state.lastNumber += 1
            return (!state.isFollowing, state.lastNumber)
        }
        if isFirst {
            let events = queue.events
            Task {
                for await event in events { change { $0.events.append(event) } }
                change { $0.hasEnded = true }
            }
        }
        return number
    }

    private func change(_ change: (inout Seen) -> Void) {
        let answers = state.withLock { state -> [(CheckedContinuation<Bool, Never>, Bool)] in
            change(&state.seen)
            var answers: [(CheckedContinuation<Bool, Never>, Bool)] = []
            for (number, waiter) in state.waiters {
                let isMet = waiter.condition(state.seen)
                guard isMet || state.seen.hasEnded else { continue }
                state.waiters[number] = nil
                answers.append((waiter.continuation, isMet))
            }
            return answers
        }
        for (continuation, isMet) in answers { continuation.resume(returning: isMet) }
    }

    private func giveUp(_ number: Int) {
        let waiter = state.withLock { $0.waiters.removeValue(forKey: number) }
        waiter?.continuation.resume(returning: false)
    }
}
