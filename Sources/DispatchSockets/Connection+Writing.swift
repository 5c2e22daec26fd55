// A connection's way out: the loop's shared buffer, the socket, and a backlog for what it does not take.

import Glibc

extension Connection {
    /// Queues bytes; they leave in one send at the end of the turn.
    ///
    /// After `close` and once the peer is gone, bytes are dropped; the handler is told by `connectionClosed`.
    ///
    /// - Returns: false when the backlog is above the high-water mark: stop until `connectionDrained`.
    @discardableResult
    public func write(_ bytes: RawSpan) -> Bool {
        bytes.withUnsafeBytes { write($0) }
    }

    @discardableResult
    public func write(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { write($0) }
    }

    /// Queues the text as UTF-8.
    @discardableResult
    public func write(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { write(UnsafeRawBufferPointer($0)) }
    }

    private func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
        loop.preconditionCurrent()
        guard phase == .open, failure == nil else { return true }
        if flags.contains(.blocked) {
            keep(bytes)
        } else {
            if !loop.output.hasRoom(for: bytes.count, of: self) { loop.sendOutput() }
            if flags.contains(.blocked) {
                keep(bytes)
            } else if !loop.output.hasRoom(for: bytes.count, of: self) {
                send(bytes)
            } else if !bytes.isEmpty {
                loop.output.append(bytes, for: self)
                unsent += Int32(bytes.count)
            }
        }
        if backlog > listener.limits.writeHighWater {
            flags.insert(.aboveHighWater)
            needsSettling()
        }
        return !flags.contains(.aboveHighWater)
    }

    /// Bytes written and not yet taken by the kernel.
    public var backlog: Int { backlogBuffer.count + Int(unsent) }

    /// Sends a part of the loop's shared buffer.
    func sendPart(_ bytes: UnsafeRawBufferPointer) {
        unsent -= Int32(bytes.count)
        send(bytes)
    }

    /// Sends, and keeps what the socket does not take.
    private func send(_ bytes: UnsafeRawBufferPointer) {
        guard failure == nil, phase != .closed else { return }
        // An earlier part was not taken whole.
        guard !flags.contains(.blocked) else { return keep(bytes) }
        let sent = sendSome(bytes)
        guard failure == nil, sent < bytes.count else { return }
        keep(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
    }

    /// What one send(2) takes; 0 when the socket is full or has failed.
    private func sendSome(_ bytes: UnsafeRawBufferPointer) -> Int {
        while true {
            let sent = Glibc.send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            if sent >= 0 {
                if phase == .sending { progress = Int32(clamping: Int(progress) + sent) }
                return sent
            }
            let code = errno
            if code == EINTR { continue }
            if code != EAGAIN { fail(.system(operation: "send", code: code)) }
            return 0
        }
    }

    private func keep(_ bytes: UnsafeRawBufferPointer) {
        guard backlogBuffer.count + bytes.count <= listener.limits.maximumBacklog, backlogBuffer.append(bytes) else {
            return fail(.resource("the peer does not read: more than \(listener.limits.maximumBacklog) bytes wait to be sent"))
        }
        if !flags.contains(.blocked) {
            flags.insert(.blocked)
            needsSettling()
        }
    }

    func sendBacklog() {
        let sent = backlogBuffer.withSpan { span in span.withUnsafeBytes { sendSome($0) } }
        guard failure == nil else { return }
        backlogBuffer.consume(sent)
        if backlogBuffer.isEmpty { flags.remove(.blocked) }
        needsSettling()
    }
}
