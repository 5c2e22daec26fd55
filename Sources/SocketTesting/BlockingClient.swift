// A client that sends exactly the bytes it is given, and waits in its caller's thread.

import Dispatch
import DispatchSockets
import Glibc

/// Why a client got no further. `code` is an errno, 0 for an end that came too early, or ETIMEDOUT after the client's patience.
public struct ClientError: Error, Equatable, CustomStringConvertible {
    public var operation: String
    public var code: CInt

    public init(_ operation: String, code: CInt = 0) {
        self.operation = operation
        self.code = code
    }

    public var description: String { code == 0 ? operation : "\(operation): errno \(code)" }
}

/// A connected stream socket. Every wait ends after `patience`.
// @unchecked: a descriptor number that never changes; each test uses its client from one piece of code at a time.
public final class BlockingClient: @unchecked Sendable {
    private let descriptor: CInt
    private let patienceMilliseconds: CInt

    /// - Parameters:
    ///   - patience: in seconds.
    ///   - sendBuffer: the kernel's, in bytes; small ones do not hide who holds up whom. Set before connecting, like `receiveBuffer`.
    public init(
        to address: SocketAddress, patience: Int = 30, sendBuffer: CInt? = nil, receiveBuffer: CInt? = nil
    ) throws(ClientError) {
        patienceMilliseconds = CInt(patience) * 1_000
        let family =
            switch address {
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            case .unix: AF_UNIX
            }
        descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ClientError("socket", code: errno) }
        let length = socklen_t(MemoryLayout<CInt>.size)
        if var size = sendBuffer { setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, length) }
        if var size = receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, length) }
        let code = address.withSystemAddress { Glibc.connect(descriptor, $0, $1) == 0 ? 0 : errno }
        // The descriptor is closed by deinit, which runs here too: everything is initialized.
        guard code == 0 else { throw ClientError("connect", code: code) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    public func send(_ bytes: some Collection<UInt8>) throws(ClientError) {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            guard try isWritable(within: patienceMilliseconds) else { throw ClientError("the server does not read", code: ETIMEDOUT) }
            sent += try sendSome(bytes[sent...])
        }
    }

    /// One send(2) that does not wait: how many bytes the kernel took.
    public func sendSome(_ bytes: ArraySlice<UInt8>) throws(ClientError) -> Int {
        let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)) }
        guard count >= 0 || errno == EAGAIN else { throw ClientError("send", code: errno) }
        return max(0, count)
    }

    /// One read of at most this many bytes; empty at the end.
    public func receiveSome(_ most: Int = 65_536) throws(ClientError) -> [UInt8] {
        guard try isReadable(within: patienceMilliseconds) else { throw ClientError("the server says nothing", code: ETIMEDOUT) }
        var buffer = [UInt8](repeating: 0, count: most)
        let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        guard count >= 0 else { throw ClientError("recv", code: errno) }
        return Array(buffer[..<count])
    }

    /// Whether there is something to read, or the end, within so many milliseconds.
    public func isReadable(within milliseconds: CInt) throws(ClientError) -> Bool { try waits(for: CInt(POLLIN), milliseconds) }

    /// Whether the kernel takes something, or the connection has failed, within so many milliseconds.
    public func isWritable(within milliseconds: CInt) throws(ClientError) -> Bool { try waits(for: CInt(POLLOUT), milliseconds) }

    private func waits(for events: CInt, _ milliseconds: CInt) throws(ClientError) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        let count = poll(&entry, 1, milliseconds)
        guard count >= 0 else { throw ClientError("poll", code: errno) }
        return count > 0
    }

    /// Lets time pass without reading; for a client that is slow on purpose.
    public func rest(milliseconds: CInt) throws(ClientError) {
        guard poll(nil, 0, milliseconds) >= 0 else { throw ClientError("poll", code: errno) }
    }

    /// Says that nothing more will be sent.
    public func finishSending() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// Goes away with a reset.
    public func reset() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
        // The number stays ours until deinit: connecting to nowhere makes the kernel drop the connection.
        var nowhere = sockaddr()
        nowhere.sa_family = sa_family_t(AF_UNSPEC)
        Glibc.connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }
}

/// Runs what blocks on a thread of its own, where it holds up nobody.
public func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue(label: "blocking").async { @Sendable in
            continuation.resume(with: Swift.Result { try body() })
        }
    }
}
