// A connection made to see how it goes; blocks, and never longer than it is told.

import CLinux
import DispatchSockets
import Glibc

/// One connection, closed with the value.
struct ProbeConnection: ~Copyable {
    /// Longer greetings are no greetings.
    static let maximumAnswer = 4_096

    private let descriptor: CInt

    /// Connects; throws when that is refused or takes longer than `limit`.
    init(to address: SocketAddress, within limit: Duration) throws(SocketError) {
        descriptor = try Self.connected(to: address, within: limit)
    }

    deinit { close(descriptor) }

    private static func connected(to address: SocketAddress, within limit: Duration) throws(SocketError) -> CInt {
        let family =
            switch address {
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            case .unix: AF_UNIX
            }
        let descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .system(operation: "socket", code: errno) }
        var code = address.withSystemAddress { connect(descriptor, $0, $1) == 0 ? 0 : errno }
        if code == EINPROGRESS {
            code = wait(for: POLLOUT, on: descriptor, until: ContinuousClock.now + limit) ? pendingError(of: descriptor) : ETIMEDOUT
        }
        guard code == 0 else {
            close(descriptor)
            throw .system(operation: "connect", code: code)
        }
        return descriptor
    }

    private static func pendingError(of descriptor: CInt) -> CInt {
        var code: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno
    }

    /// Whether the descriptor became ready in time.
    private static func wait(for events: CInt, on descriptor: CInt, until deadline: ContinuousClock.Instant) -> Bool {
        while true {
            let left = (deadline - ContinuousClock.now).components
            let milliseconds = left.seconds * 1_000 + left.attoseconds / 1_000_000_000_000_000
            guard milliseconds > 0 else { return false }
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, CInt(clamping: milliseconds))
            if count > 0 { return true }
            guard count < 0, errno == EINTR else { return false }
        }
    }

    /// Who listens at the other end of a UNIX socket; nil for other connections.
    var server: PeerProcess? {
        var user: uid_t = 0
        var group: gid_t = 0
        var process: pid_t = 0
        // For the one who connects these are the credentials of the one who called listen(2).
        guard clinux_peer_credentials(descriptor, &user, &group, &process) == 0, process > 0 else { return nil }
        return Processes.peer(process, user: user, group: group)
    }

    /// Sends all of it at once, or tells that it did not go.
    func send(_ bytes: [UInt8]) -> Bool {
        Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count
    }

    /// Why `receive` came back.
    enum End: Equatable {
        case enough, closed, timedOut
        case failed(CInt)
    }

    /// Reads until `isEnough`, the end, or the limit.
    func receive(within limit: Duration, until isEnough: ([UInt8]) -> Bool) -> (bytes: [UInt8], end: End) {
        let deadline = ContinuousClock.now + limit
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1_024)
        while !isEnough(bytes) {
            guard bytes.count < Self.maximumAnswer else { return (bytes, .enough) }
            guard Self.wait(for: POLLIN, on: descriptor, until: deadline) else { return (bytes, .timedOut) }
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count == 0 { return (bytes, .closed) }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                return (bytes, .failed(errno))
            }
            bytes += chunk[..<count]
        }
        return (bytes, .enough)
    }

    /// What the other side says first, as a text.
    func greeting(within limit: Duration, until isEnough: ([UInt8]) -> Bool) -> Conversation {
        let (bytes, end) = receive(within: limit, until: isEnough)
        guard bytes.isEmpty else { return .heard(Self.text(of: bytes)) }
        return switch end {
        case .enough, .timedOut: .silent
        case .closed: .closed
        case .failed(let code): .unreachable(Files.text(of: code))
        }
    }

    /// NULs and line ends as spaces, none at the end; what is no UTF-8 is replaced.
    private static func text(of bytes: [UInt8]) -> String {
        let readable = bytes.map { $0 == 0 || $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }
        let end = readable.lastIndex { $0 != 0x20 }.map { $0 + 1 } ?? 0
        return String(decoding: readable[..<end], as: UTF8.self)
    }
}
