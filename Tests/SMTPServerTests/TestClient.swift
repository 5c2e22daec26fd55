// A blocking client on a real socket; its calls wait on a Dispatch thread, never on the loop.

import Dispatch
import DispatchSockets
import Glibc

struct ClientError: Error, CustomStringConvertible {
    var description: String
}

/// `@unchecked Sendable`: each test uses its client from one task at a time.
final class TestClient: @unchecked Sendable {
    private let descriptor: CInt
    private var unread: [UInt8] = []
    /// Every wait of the client ends after this.
    private static let patienceMilliseconds: CInt = 20_000

    private static let kernelBuffer: CInt = 32 * 1024

    init(to address: SocketAddress) throws {
        guard case .ipv4(let host, let port) = address else { throw ClientError(description: "IPv4 only") }
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        // Small, so that the kernel's buffers do not hide who holds up whom.
        var size = Self.kernelBuffer
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_port = port.bigEndian
        raw.sin_addr.s_addr = host.bigEndian
        let code = withUnsafePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else {
            close(descriptor)
            throw ClientError(description: "connect: errno \(errno)")
        }
    }

    deinit { close(descriptor) }

    static func connect(to address: SocketAddress) async throws -> TestClient {
        try await blocking { try TestClient(to: address) }
    }

    func send(_ text: String) async throws {
        let bytes = Array(text.utf8)
        try await blocking { try self.sendAll(bytes) }
    }

    /// Sends until everything is gone or the server has taken nothing for `milliseconds`; returns how much went.
    func sendUntilStalled(_ bytes: [UInt8], milliseconds: CInt) async throws -> Int {
        try await blocking {
            var sent = 0
            while sent < bytes.count, try self.poll(CInt(POLLOUT), milliseconds) { sent += try self.sendSome(bytes[sent...]) }
            return sent
        }
    }

    func send(_ bytes: ArraySlice<UInt8>) async throws {
        let bytes = Array(bytes)
        try await blocking { try self.sendAll(bytes) }
    }

    /// A whole reply, continued lines included.
    func reply() async throws -> String {
        try await blocking {
            var reply = ""
            repeat {
                while !self.unread.contains(UInt8(ascii: "\n")) {
                    guard try self.receive() else { throw ClientError(description: "end of input after \(reply)") }
                }
                let end = self.unread.firstIndex(of: UInt8(ascii: "\n")) ?? 0
                let line = String(decoding: self.unread[...end], as: UTF8.self)
                self.unread.removeFirst(end + 1)
                reply += line
                if line.dropFirst(3).first != "-" { return reply }
            } while true
        }
    }

    func replies(_ count: Int) async throws -> [String] {
        var codes: [String] = []
        for _ in 0..<count { codes.append(String(try await reply().prefix(3))) }
        return codes
    }

    /// Sends one command and waits for its reply's code.
    func code(of command: String) async throws -> String {
        try await send(command + "\r\n")
        return String(try await reply().prefix(3))
    }

    /// All that comes until the server closes; a reset counts as that.
    func rest() async throws -> String {
        try await blocking {
            while try self.receive() {}
            return String(decoding: self.unread, as: UTF8.self)
        }
    }

    func closeOutput() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// Makes the coming close a reset.
    func reset() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
        // Closing happens in deinit; connecting to nowhere drops the connection now.
        var nowhere = sockaddr(sa_family: sa_family_t(AF_UNSPEC), sa_data: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        Glibc.connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }

    private func sendAll(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            guard try poll(CInt(POLLOUT), Self.patienceMilliseconds) else { throw ClientError(description: "the server does not read") }
            sent += try sendSome(bytes[sent...])
        }
    }

    private func sendSome(_ bytes: ArraySlice<UInt8>) throws -> Int {
        let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL | MSG_DONTWAIT)) }
        guard count >= 0 || errno == EAGAIN else { throw ClientError(description: "send: errno \(errno)") }
        return max(0, count)
    }

    private func receive() throws -> Bool {
        guard try poll(CInt(POLLIN), Self.patienceMilliseconds) else { throw ClientError(description: "the server says nothing") }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 || errno == ECONNRESET else { throw ClientError(description: "recv: errno \(errno)") }
        unread.append(contentsOf: buffer.prefix(max(0, count)))
        return count > 0
    }

    private func poll(_ events: CInt, _ milliseconds: CInt) throws -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        let count = Glibc.poll(&entry, 1, milliseconds)
        guard count >= 0 else { throw ClientError(description: "poll: errno \(errno)") }
        return count > 0
    }
}

/// Runs what blocks on a thread of its own.
func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async { @Sendable in
            continuation.resume(with: Swift.Result { try body() })
        }
    }
}
