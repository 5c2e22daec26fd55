// A clock that stands still until a test moves it.

import FlushCore
import Synchronization

/// Time moved by hand.
///
/// Sleepers wake in the order of their deadlines, those with the same one in the order in which they went to sleep; a sleeper that
/// sleeps again during `advance` is woken again when its new deadline lies within the advance.
public final class ManualTime: TimeSource {
    /// How often `advance` gives way after waking somebody, when nobody has said what to wait for; enough for a chain of a few actor hops
    /// on a machine that is not busy, no promise.
    public static let turns = 200

    private struct Sleeper {
        let number: Int
        let deadline: Duration
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct Watcher {
        let number: Int
        let count: Int
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        /// The clock that never jumps.
        var elapsed: Duration = .zero
        /// The wall clock at `elapsed` zero; a jump moves it.
        var origin: Timestamp
        var lastNumber = 0
        var sleepers: [Sleeper] = []
        var watchers: [Watcher] = []
        /// Sleeps that were cancelled before they began.
        var cancelled: Set<Int> = []
        var settlers: [@Sendable () async -> Void] = []

        mutating func nextNumber() -> Int {
            lastNumber += 1
            return lastNumber
        }
    }

    private let state: Mutex<State>

    public init(now: Timestamp = Timestamp(seconds: 1_800_000_000)) {
        state = Mutex(State(origin: now))
    }

    /// Tells what `advance` waits for before it begins and after each waking: `body` returns when who was woken has done what it will.
    ///
    /// For what sleeps on and on nothing else is sure: whoever has computed its sleep but not begun it is not asleep, and time that passes
    /// meanwhile is lost to it.
    public func settles(with body: @escaping @Sendable () async -> Void) { state.withLock { $0.settlers.append(body) } }

    private func settle() async {
        let settlers = state.withLock { $0.settlers }
        for body in settlers { await body() }
        if settlers.isEmpty { for _ in 0..<Self.turns { await Task.yield() } }
    }

    public var now: Timestamp { state.withLock { $0.origin + $0.elapsed } }

    /// How many tasks sleep at this moment.
    public var sleepers: Int { state.withLock { $0.sleepers.count } }

    /// How long until the next sleeper wakes; nil when nobody sleeps.
    public var nextWake: Duration? {
        state.withLock { state in state.sleepers.map { $0.deadline - state.elapsed }.min() }
    }

    public func sleep(for duration: Duration) async {
        guard duration > .zero else { return }
        let number = state.withLock { $0.nextNumber() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let ready = state.withLock { state -> [CheckedContinuation<Void, Never>] in
                    guard state.cancelled.remove(number) == nil else { return [continuation] }
                    state.sleepers.append(
                        Sleeper(number: number, deadline: state.elapsed + duration, continuation: continuation))
                    let count = state.sleepers.count
                    let satisfied = state.watchers.filter { $0.count <= count }
                    state.watchers.removeAll { $0.count <= count }
                    return satisfied.map(\.continuation)
                }
                for continuation in ready { continuation.resume() }
            }
            // A cancellation that came after the wake-up left its mark.
            _ = state.withLock { $0.cancelled.remove(number) }
        } onCancel: {
            wake(number)
        }
    }

    /// Moves both clocks and wakes who is due, one after the other; returns when the woken have had a chance to run.
    public func advance(by duration: Duration) async {
        precondition(duration >= .zero, "time does not run backwards; see jump(by:)")
        await settle()
        let target = state.withLock { $0.elapsed + duration }
        while let sleeper = takeNext(until: target) {
            sleeper.continuation.resume()
            await settle()
        }
        state.withLock { $0.elapsed = target }
        await settle()
    }

    /// Moves the wall clock alone, also backwards, as an administrator or NTP does; nobody wakes.
    public func jump(by duration: Duration) {
        state.withLock { $0.origin = $0.origin + duration }
    }

    /// Returns as soon as at least `count` tasks sleep.
    public func waitForSleepers(_ count: Int) async {
        let number = state.withLock { $0.nextNumber() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state -> Bool in
                    if state.cancelled.remove(number) != nil || state.sleepers.count >= count { return true }
                    state.watchers.append(Watcher(number: number, count: count, continuation: continuation))
                    return false
                }
                if isReady { continuation.resume() }
            }
            _ = state.withLock { $0.cancelled.remove(number) }
        } onCancel: {
            wake(number)
        }
    }

    private func takeNext(until target: Duration) -> Sleeper? {
        state.withLock { state in
            guard let next = state.sleepers.min(by: { ($0.deadline, $0.number) < ($1.deadline, $1.number) }), next.deadline <= target
            else { return nil }
            state.sleepers.removeAll { $0.number == next.number }
            state.elapsed = max(state.elapsed, next.deadline)
            return next
        }
    }

    /// Ends one wait because its task was cancelled.
    private func wake(_ number: Int) {
        let continuation = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if let index = state.sleepers.firstIndex(where: { $0.number == number }) {
                return state.sleepers.remove(at: index).continuation
            }
            if let index = state.watchers.firstIndex(where: { $0.number == number }) {
                return state.watchers.remove(at: index).continuation
            }
            state.cancelled.insert(number)
            return nil
        }
        continuation?.resume()
    }
}
