// The loop's clock, its timers, and the one alarm that wakes it for the first of them.

import Dispatch
import Glibc

extension EventLoop {
    /// Nanoseconds from the loop's beginning to this moment.
    var elapsed: Int64 { Self.clock - originNanoseconds }

    /// Nanoseconds on the clock of `ContinuousClock`, without its 128-bit arithmetic: the loop asks for every piece of work.
    static var clock: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// The time of this turn; cheaper than asking the clock. Only on the loop.
    public var now: ContinuousClock.Instant { instant(at: ticks) }

    func instant(at ticks: Int64) -> ContinuousClock.Instant { origin + .nanoseconds(ticks) }

    func ticks(at instant: ContinuousClock.Instant) -> Int64 { Self.nanoseconds(instant - origin) }

    /// Farther deadlines than this, a hundred years, are never due.
    private static let farthest: Int128 = 3600 * 24 * 365 * 100 * 1_000_000_000

    static func nanoseconds(_ duration: Duration) -> Int64 {
        Int64(min(max(duration.attoseconds / 1_000_000_000, -farthest), farthest))
    }

    /// Runs `body` on the loop once, `delay` from now or a little later: up to 1 ms, and 100 ms when the delay is above 1 s. Only on the loop.
    ///
    /// Timers that are due together fire in the order of their due times. After `shutdown` nothing fires.
    @discardableResult
    public func schedule(after delay: Duration, _ body: @escaping () -> Void) -> LoopTimer {
        preconditionCurrent()
        let timer = LoopTimer(loop: self, body: body)
        let due = elapsed + max(0, Self.nanoseconds(delay))
        if !isShutDown { timers.insert(.timer(timer), due: due) }
        return timer
    }

    func alarmRang() {
        alarmDue = .max
        turn()
    }

    func fireTimers() {
        // Bounded by what is there now: a body may schedule the next timer for at once.
        var left = timers.count
        while left > 0, let owner = timers.popDue(by: ticks) {
            switch owner {
            case .timer(let timer): timer.fire()
            case .connection(let connection): connection.alarmRang()
            }
            left -= 1
        }
    }

    /// Sets the alarm to the first timer, unless it rings before that anyway.
    func setAlarm() {
        guard let due = timers.firstDue, due < alarmDue, !isShutDown else { return }
        let wait = max(0, due - ticks)
        let grain: Int64 = wait > 1_000_000_000 ? 100_000_000 : 1_000_000
        let rounded = (max(due, ticks) / grain + 1) * grain
        guard rounded < alarmDue else { return }
        alarmDue = rounded
        // Counted from the real now: the turn may have taken a while.
        let remaining = rounded - elapsed
        alarm.schedule(deadline: .now() + .nanoseconds(Int(max(0, remaining))), leeway: .nanoseconds(Int(grain / 10)))
    }
}
