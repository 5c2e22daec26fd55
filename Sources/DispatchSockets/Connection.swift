// A stream socket on an event loop.

import CLinux
import Glibc

/// A connection. All members are used only on its loop.
///
/// Its handler and the loop hold it until it is closed. An idle one owns no buffer.
// @unchecked: every member is touched only on the loop; those that change anything check it.
public final class Connection: @unchecked Sendable {
    enum Phase: UInt8 {
        case open
        /// `close` was called; queued bytes are being sent.
        case sending
        /// Our FIN is out; what still comes is dropped.
        case lingering
        case closed
    }

    struct Flags: OptionSet {
        let rawValue: UInt16
        /// In `EventLoop.unsettled`.
        static let unsettled = Flags(rawValue: 1)
        static let readingPaused = Flags(rawValue: 2)
        /// The peer has sent its FIN, and we have read it.
        static let reachedEnd = Flags(rawValue: 4)
        /// The socket took less than we had; the rest waits in `backlogBuffer` for EPOLLOUT.
        static let blocked = Flags(rawValue: 8)
        /// `write` has returned false.
        static let aboveHighWater = Flags(rawValue: 16)
        /// Out of the epoll set: the peer is gone, which would be reported again and again.
        static let detached = Flags(rawValue: 32)
        /// `connectionClosed` has been called.
        static let farewellSaid = Flags(rawValue: 64)
    }

    /// Reads of a full scratch buffer in one event; then others get their turn.
    private static let readsPerEvent = 4
    /// How long `close` drops what still comes, unless told otherwise.
    public static let defaultLinger: Duration = .seconds(2)
    /// After `close`, the peer must take `closingProgress` bytes of what is queued in every interval of this length.
    static let closingInterval: Duration = .seconds(30)
    static let closingProgress = 4096

    public let loop: EventLoop
    public let peer: Peer
    /// Held strongly until `connectionClosed`.
    public var handler: (any ConnectionHandler)?

    let listener: Listener
    let descriptor: CInt
    private var token: UInt64 = 0
    var backlogBuffer = ByteBuffer()
    var failure: SocketError?
    private var due = Int64.max
    private var linger: Int64 = 0
    var timerIndex = TimerQueue.nowhere
    var flags: Flags = []
    var phase = Phase.open
    /// What the epoll set watches for.
    private var registered = PollEvents.readable
    /// Bytes sent in this interval of `Phase.sending`.
    var progress: Int32 = 0
    /// Bytes in the loop's shared buffer.
    var unsent: Int32 = 0

    init(loop: EventLoop, listener: Listener, descriptor: CInt, peer: Peer) throws(SocketError) {
        self.loop = loop
        self.listener = listener
        self.descriptor = descriptor
        self.peer = peer
        token = try loop.poller.add(descriptor, interest: PollEvents.readable, owner: .connection(self))
    }

    /// True from `close`, `abort` or a failure on.
    public var isClosing: Bool { phase != .open || failure != nil }

    /// True when the peer has said that it will send no more.
    public var hasReachedEnd: Bool { flags.contains(.reachedEnd) }

    // MARK: Reading

    /// Leaves what comes in the kernel, so that the peer must wait, until `resumeReading`.
    public func pauseReading() {
        loop.preconditionCurrent()
        flags.insert(.readingPaused)
    }

    public func resumeReading() {
        loop.preconditionCurrent()
        guard flags.contains(.readingPaused) else { return }
        flags.remove(.readingPaused)
        if registered & PollEvents.readable == 0 || flags.contains(.detached) { needsSettling() }
    }

    func ready(_ events: UInt32) {
        guard phase != .closed else { return }
        if events & PollEvents.failed != 0 { return fail(.system(operation: "connection", code: pendingError())) }
        if events & PollEvents.writable != 0, flags.contains(.blocked) { sendBacklog() }
        if events & (PollEvents.readable | PollEvents.hungUp) != 0 { readOrRest(events) }
    }

    /// Reads, unless nobody wants to know: then what makes the event come again is taken out of the set.
    private func readOrRest(_ events: UInt32) {
        guard phase != .closed, failure == nil else { return }
        if wantsToRead { return read() }
        if events & PollEvents.hungUp != 0 {
            flags.insert(.detached)
            loop.poller.detach(descriptor)
            // Whatever is queued has nowhere to go; sending it says so.
            if flags.contains(.blocked) { sendBacklog() }
        } else {
            register(registered & ~PollEvents.readable)
        }
    }

    private var wantsToRead: Bool {
        if flags.contains(.reachedEnd) { return false }
        return phase == .lingering || (phase == .open && !flags.contains(.readingPaused))
    }

    private func read() {
        for _ in 0..<Self.readsPerEvent {
            let count = Glibc.read(descriptor, loop.readScratch.baseAddress, loop.readScratch.count)
            if count > 0 {
                if phase == .open {
                    handler?.connection(self, received: UnsafeRawBufferPointer(rebasing: loop.readScratch[..<count]).bytes)
                }
                // A short read has emptied the socket; if not, the level-triggered event comes again.
                if count < loop.readScratch.count || !wantsToRead || failure != nil { return }
            } else if count == 0 {
                return reachEnd()
            } else {
                let code = errno
                if code == EINTR { continue }
                if code != EAGAIN { fail(.system(operation: "read", code: code)) }
                return
            }
        }
    }

    private func reachEnd() {
        flags.insert(.reachedEnd)
        needsSettling()
        if phase == .open { handler?.connectionReachedEnd(self) }
    }

    private func pendingError() -> CInt {
        var code: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return errno }
        return code == 0 ? ECONNRESET : code
    }

    // MARK: Time

    /// When `connectionTimedOut` is called, up to 100 ms late; nil for never. Moving it later costs next to nothing.
    public var deadline: ContinuousClock.Instant? {
        get { due == .max || isClosing ? nil : loop.instant(at: due) }
        set {
            loop.preconditionCurrent()
            guard phase == .open else { return }
            setDue(newValue.map { loop.ticks(at: $0) })
        }
    }

    /// Sets `deadline` to so long after this turn's time; the cheapest way.
    public func setDeadline(after delay: Duration) {
        loop.preconditionCurrent()
        guard phase == .open else { return }
        setDue(loop.ticks + EventLoop.nanoseconds(delay))
    }

    private func setDue(_ ticks: Int64?) {
        due = ticks ?? .max
        guard let ticks else { return }
        if timerIndex == TimerQueue.nowhere {
            loop.timers.insert(.connection(self), due: ticks)
        } else if loop.timers.due(at: timerIndex) > ticks {
            loop.timers.move(at: timerIndex, to: ticks)
        }
        // Moved later: the old entry is looked at when its time comes.
    }

    /// The queue's entry is due and gone; the deadline may have moved since.
    func alarmRang() {
        guard phase != .closed, due != .max else { return }
        guard due <= loop.ticks else { return loop.timers.insert(.connection(self), due: due) }
        due = .max
        switch phase {
        case .open: handler?.connectionTimedOut(self)
        case .sending:
            guard progress >= Self.closingProgress else { return fail(.system(operation: "send", code: ETIMEDOUT)) }
            progress = 0
            setDue(loop.ticks + EventLoop.nanoseconds(Self.closingInterval))
        case .lingering: finish()
        case .closed: break
        }
    }

    // MARK: The end

    /// Sends what is queued, then FIN, then drops what still comes until the peer closes too, for at most `linger`; then closes.
    ///
    /// Without the lingering, bytes of the peer that we have not read would make the kernel send a reset, and the peer might lose
    /// our last answer (RFC 9112, section 9.6). A peer that takes less than 4 kB in 30 s of what is queued is cut off. Harmless when closing already.
    public func close(linger: Duration = Connection.defaultLinger) {
        loop.preconditionCurrent()
        guard phase == .open, failure == nil else { return }
        phase = .sending
        self.linger = max(0, EventLoop.nanoseconds(linger))
        setDue(loop.ticks + EventLoop.nanoseconds(Self.closingInterval))
        needsSettling()
    }

    /// Closes at once; what is queued is lost, and the peer sees a reset.
    public func abort() {
        loop.preconditionCurrent()
        guard phase != .closed else { return }
        resetOnClose()
        finish()
    }

    private func resetOnClose() {
        var setting = Glibc.linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    /// Notes that the connection cannot go on; it is closed when the turn is settled.
    func fail(_ error: SocketError) {
        guard failure == nil, phase != .closed else { return }
        // All that was written has left, and our FIN too: how the peer goes no longer matters.
        if phase == .lingering { return finish() }
        failure = error
        backlogBuffer.removeAll()
        needsSettling()
    }

    /// Closes the descriptor. The handler is told when the turn is settled, and not from within whatever call this happens in.
    private func finish() {
        guard phase != .closed else { return }
        phase = .closed
        backlogBuffer.removeAll()
        if timerIndex != TimerQueue.nowhere { loop.timers.remove(at: timerIndex) }
        loop.poller.remove(descriptor, token: token)
        _ = Glibc.close(descriptor)
        listener.connectionWasClosed()
        loop.descriptorWasFreed()
        needsSettling()
    }

    // MARK: Settling

    func needsSettling() {
        guard !flags.contains(.unsettled) else { return }
        flags.insert(.unsettled)
        loop.unsettled.append(self)
    }

    /// Carries out at the end of a turn what the turn has brought: errors, the next step of closing, interest, back-pressure.
    func settle() {
        flags.remove(.unsettled)
        if phase == .closed { return sayFarewell() }
        if failure != nil {
            resetOnClose()
            return finish()
        }
        if phase == .sending, !flags.contains(.blocked) { beginLinger() }
        if phase == .lingering, flags.contains(.reachedEnd) { return finish() }
        guard phase != .closed else { return }
        updateRegistration()
        if phase == .open, flags.contains(.aboveHighWater), backlog <= listener.limits.writeLowWater {
            flags.remove(.aboveHighWater)
            handler?.connectionDrained(self)
        }
    }

    private func beginLinger() {
        // What was written in this turn has been sent by now: the loop flushes before it settles.
        guard linger > 0, !flags.contains(.reachedEnd) else { return finish() }
        phase = .lingering
        guard shutdown(descriptor, CInt(SHUT_WR)) == 0 else { return finish() }
        setDue(loop.ticks + linger)
    }

    private func sayFarewell() {
        guard !flags.contains(.farewellSaid) else { return }
        flags.insert(.farewellSaid)
        handler?.connectionClosed(self, error: failure)
        handler = nil
    }

    private func updateRegistration() {
        // Not wanting to read is noted only when something comes: most pauses end before that.
        var wanted = flags.contains(.blocked) ? PollEvents.writable : 0
        if wantsToRead { wanted |= PollEvents.readable }
        if flags.contains(.readingPaused), !flags.contains(.reachedEnd) { wanted |= registered & PollEvents.readable }
        if flags.contains(.detached) {
            guard wantsToRead else { return }
            flags.remove(.detached)
            registered = wanted
            let code = loop.poller.attach(descriptor, token: token, interest: wanted)
            if code != 0 { fail(.system(operation: "epoll_ctl", code: code)) }
        } else {
            register(wanted)
        }
    }

    private func register(_ wanted: UInt32) {
        guard wanted != registered else { return }
        registered = wanted
        let code = loop.poller.modify(descriptor, token: token, interest: wanted)
        if code != 0 { fail(.system(operation: "epoll_ctl", code: code)) }
    }
}
