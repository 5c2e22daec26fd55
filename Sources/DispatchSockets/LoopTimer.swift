// A one-shot timer of an event loop.

/// A timer made by `EventLoop.schedule(after:_:)`. Only on its loop.
///
/// Dropping it does not cancel it.
public final class LoopTimer {
    private let loop: EventLoop
    private var body: (() -> Void)?
    var queueIndex = TimerQueue.nowhere

    init(loop: EventLoop, body: @escaping () -> Void) {
        self.loop = loop
        self.body = body
    }

    /// True until it has fired or was cancelled.
    public var isPending: Bool { body != nil }

    /// Makes sure that the body does not run, and lets go of it. Harmless when it has run.
    public func cancel() {
        guard body != nil else { return }
        loop.preconditionCurrent()
        body = nil
        if queueIndex != TimerQueue.nowhere { loop.timers.remove(at: queueIndex) }
    }

    func fire() {
        let body = self.body
        self.body = nil
        body?()
    }
}
