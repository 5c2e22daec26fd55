// Signals as events of the loop.

import Dispatch
import Glibc
import Synchronization

/// Watches signals: instead of their usual effect, a handler runs on the loop.
///
/// The signals are ignored by the process from `init` on; this must come before the source is activated, or Dispatch sees none.
/// Dispatch registers its sources a moment later: what comes before `ready()` returns is lost. It watches as long as it is held. A
/// child process inherits a blocked signal: reset its mask when starting one.
public final class SignalWatch: Sendable {
    private struct Registration {
        var missing: Int
        var waiters: [UnsafeContinuation<Void, Never>] = []
    }

    // Dispatch sources may be cancelled from any thread; nothing else is done to them after `init`.
    nonisolated(unsafe) private let sources: [any DispatchSourceSignal]
    private let registration: Mutex<Registration>

    /// Calls `handler` on the loop for every delivery; deliveries in quick succession may be merged.
    public init(_ signals: [CInt], on loop: EventLoop, handler: @escaping @Sendable (CInt) -> Void) {
        registration = Mutex(Registration(missing: signals.count))
        // Not on the loop's own queue, which is taken for as long as the loop has something to do.
        let queue = DispatchQueue(label: "\(loop.label).signals")
        sources = signals.map { number in
            _ = signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { @Sendable [weak loop] in loop?.execute { handler(number) } }
            return source
        }
        for source in sources {
            source.setRegistrationHandler { @Sendable [weak self] in self?.wasRegistered() }
            source.activate()
        }
    }

    /// Returns when every signal is being watched.
    public func ready() async {
        await withUnsafeContinuation { continuation in
            let isReady = registration.withLock { registration in
                if registration.missing > 0 { registration.waiters.append(continuation) }
                return registration.missing == 0
            }
            if isReady { continuation.resume() }
        }
    }

    private func wasRegistered() {
        let waiters = registration.withLock { registration in
            registration.missing -= 1
            guard registration.missing == 0 else { return [UnsafeContinuation<Void, Never>]() }
            defer { registration.waiters = [] }
            return registration.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Ends the watching. The signals stay ignored: what ends the process by a second signal is the program's to decide.
    public func cancel() {
        for source in sources { source.cancel() }
    }

    deinit {
        cancel()
    }
}
