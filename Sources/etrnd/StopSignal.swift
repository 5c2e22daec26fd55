// SIGTERM and SIGINT as something to wait for.

import DispatchSockets
import Glibc

final class StopSignal: Sendable {
    private let signals: AsyncStream<CInt>
    private let watch: SignalWatch

    init(on loop: EventLoop) {
        let (stream, continuation) = AsyncStream<CInt>.makeStream()
        signals = stream
        watch = SignalWatch([SIGTERM, SIGINT], on: loop) { continuation.yield($0) }
    }

    /// The first signal; a second one while we stop is for whoever has no patience, and ends the process at once.
    func wait() async -> CInt {
        var iterator = signals.makeAsyncIterator()
        let first = await iterator.next() ?? SIGTERM
        Task {
            var rest = signals.makeAsyncIterator()
            if await rest.next() != nil { _exit(128 + first) }
        }
        return first
    }

    /// Returns when signals are really watched; one that comes earlier is lost.
    func ready() async { await watch.ready() }

    func cancel() { watch.cancel() }
}
