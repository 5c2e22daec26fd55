// A client that sends exactly the bytes it is given, and waits in threads of its own.
import DispatchSockets
import Glibc

/// A blocking TCP connection to a port of 127.0.0.1. Every wait ends after `patience`.
// @unchecked: a descriptor number; each test uses its client from one piece of code at a time.
final class RawClient: @unchecked Sendable {
    static let patience = 10

    struct Failure: Error { var what: String }

    private let descriptor: CInt
    private var received: [UInt8] = []

    init(_ address: SocketAddress, receiveBuffer: CInt? = nil) throws {
        guard case .ipv4(let host, let port) = address else { throw Failure(what: "not an IPv4 address: \(address)") }
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        if var size = receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size)) }
        var wait = timeval(tv_sec: Self.patience, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_port = port.bigEndian
        raw.sin_addr.s_addr = host.bigEndian
        let code = withUnsafePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else { throw Failure(what: "connect: errno \(errno)") }
    }

    deinit { close(descriptor) }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard count > 0 else { throw Failure(what: "send: errno \(errno)") }
            sent += count
        }
    }

    /// Sends the bytes again and again without waiting, until the kernel takes no more for `quiet` milliseconds, or `most` are sent.
    func flood(_ bytes: [UInt8], most: Int, quiet: CInt = 300) throws -> Int {
        var total = 0
        while total < most {
            var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            if Glibc.poll(&poll, 1, quiet) == 0 { return total }
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
            }
            guard count > 0 || errno == EAGAIN else { throw Failure(what: "send: errno \(errno)") }
            total += max(count, 0)
        }
        return total
    }

    /// Says that nothing more will be sent.
    func finishSending() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// Goes away with a reset.
    func reset() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
        // The number stays ours until deinit: connecting to nowhere makes the kernel drop the connection.
        var nowhere = sockaddr()
        nowhere.sa_family = sa_family_t(AF_UNSPEC)
        connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }

    /// One read of at most this many bytes; empty at the end.
    func receiveSome(_ most: Int = 65_536) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: most)
        let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        guard count >= 0 else { throw Failure(what: "recv: errno \(errno)") }
        return Array(buffer[..<count])
    }

    /// Whether there is something to read, or the end, within so many milliseconds.
    func isReadable(within milliseconds: CInt) throws -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, milliseconds) > 0
    }

    /// The next response's head, read byte by byte so that nothing of the body is taken.
    func receiveHead() throws -> RawResponse {
        var head: [UInt8] = []
        while true {
            if let response = RawResponse(taking: &head, toHead: true) { return response }
            let byte = try receiveSome(1)
            guard !byte.isEmpty else { throw Failure(what: "the connection ended in a head") }
            head += byte
        }
    }

    /// Everything until the server ends the connection.
    func receiveAll() throws -> String {
        while true {
            let some = try receiveSome()
            if some.isEmpty { break }
            received += some
        }
        defer { received = [] }
        return String(decoding: received, as: UTF8.self)
    }

    /// The next response: its head, and the body that its Content-Length announces.
    func receive(toHead: Bool = false) throws -> RawResponse {
        while true {
            if let response = RawResponse(taking: &received, toHead: toHead) { return response }
            let some = try receiveSome()
            guard !some.isEmpty else { throw Failure(what: "the connection ended after \(String(decoding: received, as: UTF8.self))") }
            received += some
        }
    }

    func exchange(_ text: String) throws -> RawResponse {
        try send(text)
        return try receive()
    }
}

struct RawResponse: Equatable {
    var status: Int
    var fields: [String: String]
    var body: String

    init?(taking bytes: inout [UInt8], toHead: Bool) {
        guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: [13, 10, 13, 10]) }) else { return nil }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
        status = Int(lines[0].split(separator: " ")[1]) ?? 0
        fields = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        let length = toHead ? 0 : fields["content-length"].flatMap { Int($0) } ?? 0
        guard bytes.count >= end + 4 + length else { return nil }
        body = String(decoding: bytes[(end + 4)..<(end + 4 + length)], as: UTF8.self)
        bytes.removeFirst(end + 4 + length)
    }
}
