// The machine's clocks.

import FlushCore
import Glibc

struct SystemTime: TimeSource {
    var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
    }

    func sleep(for duration: Duration) async {
        // A cancelled sleep is over: that is all its caller wants to know.
        try? await ContinuousClock().sleep(for: max(.zero, duration))
    }
}
