// The loop's eye on a descriptor that belongs to somebody else.

import CLinux
import Glibc

/// Watches a descriptor; made by `EventLoop.watch(_:for:_:)`. Only on its loop.
///
/// Cancel it before the descriptor is closed. The loop holds it until then.
public final class Watch {
    private let loop: EventLoop
    private let descriptor: CInt
    private var interest: Interest
    private var handler: ((Interest) -> Void)?
    private var token: UInt64 = 0
    /// With nothing to watch for, the descriptor is out of the set: a hang-up would be reported again and again.
    private var isAttached = true

    init(loop: EventLoop, descriptor: CInt, interest: Interest, handler: @escaping (Interest) -> Void) throws(SocketError) {
        self.loop = loop
        self.descriptor = descriptor
        self.interest = interest.subtracting(.hangup)
        self.handler = handler
        token = try loop.poller.add(descriptor, interest: self.interest.pollEvents, owner: .watch(self))
        if self.interest.isEmpty { detach() }
    }

    /// Watches for something else from now on; for nothing, it pauses.
    public func change(to interest: Interest) {
        loop.preconditionCurrent()
        let interest = interest.subtracting(.hangup)
        guard handler != nil, interest != self.interest else { return }
        self.interest = interest
        if interest.isEmpty {
            detach()
        } else if isAttached {
            _ = loop.poller.modify(descriptor, token: token, interest: interest.pollEvents)
        } else {
            isAttached = true
            _ = loop.poller.attach(descriptor, token: token, interest: interest.pollEvents)
        }
    }

    /// Ends the watching; the handler is not called again and let go.
    public func cancel() {
        loop.preconditionCurrent()
        guard handler != nil else { return }
        handler = nil
        loop.poller.remove(descriptor, token: token)
    }

    func ready(_ events: UInt32) {
        let found = Interest(pollEvents: events).intersection(interest.union(.hangup))
        guard let handler, !found.isEmpty, !interest.isEmpty else { return }
        handler(found)
    }

    private func detach() {
        isAttached = false
        loop.poller.detach(descriptor)
    }
}
