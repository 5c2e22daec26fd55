// Clocks that stand still until the simulation moves them.

import FlushCore

/// The machine's clocks, which go on when a process has died.
// @unchecked: the simulation has one thread.
final class SimulatedClock: @unchecked Sendable {
    /// What never jumps.
    fileprivate(set) var elapsed: Duration = .zero
    private var origin = Timestamp(seconds: 1_800_000_000)

    var now: Timestamp { origin + elapsed }

    func advance(to time: Duration) { elapsed = max(elapsed, time) }

    /// Moves the wall clock alone.
    func jump(by duration: Duration) { origin = origin + duration }
}

/// Time for one process: it sleeps in order, and not at all once it is dead.
// @unchecked: the simulation has one thread.
final class SimulatedTime: TimeSource, @unchecked Sendable {
    private struct Sleeper {
        var number: Int
        var deadline: Duration
        var continuation: CheckedContinuation<Void, Never>
    }

    private let clock: SimulatedClock
    /// In the order of their deadlines.
    private var sleepers: [Sleeper] = []
    private var lastNumber = 0
    private var cancelled: Set<Int> = []
    private var isOver = false

    init(_ clock: SimulatedClock) { self.clock = clock }

    var now: Timestamp { clock.now }

    /// When the next sleeper wakes, on the clock that never jumps.
    var nextWake: Duration? { sleepers.first?.deadline }

    func sleep(for duration: Duration) async {
        guard duration > .zero, !isOver else { return }
        lastNumber += 1
        let number = lastNumber
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard cancelled.remove(number) == nil, !isOver else { return continuation.resume() }
                let deadline = clock.elapsed + duration
                let place = sleepers.firstIndex { $0.deadline > deadline } ?? sleepers.endIndex
                sleepers.insert(Sleeper(number: number, deadline: deadline, continuation: continuation), at: place)
            }
            cancelled.remove(number)
        } onCancel: {
            if let place = sleepers.firstIndex(where: { $0.number == number }) {
                sleepers.remove(at: place).continuation.resume()
            } else {
                cancelled.insert(number)
            }
        }
    }

    /// Wakes the next sleeper that is due; false when there is none.
    func wakeNext() -> Bool {
        guard let first = sleepers.first, first.deadline <= clock.elapsed else { return false }
        sleepers.removeFirst().continuation.resume()
        return true
    }

    /// The process is dead: nobody sleeps any more.
    func end() {
        isOver = true
        let woken = sleepers
        sleepers = []
        for sleeper in woken { sleeper.continuation.resume() }
    }
}
