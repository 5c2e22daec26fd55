// Opening a socket that listens.

import Glibc

/// A bound, listening, non-blocking descriptor.
struct ListeningSocket {
    let descriptor: CInt
    let address: SocketAddress
    let file: SocketFile?

    static func open(at address: SocketAddress, limits: ListenerLimits) throws(SocketError) -> ListeningSocket {
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, kind, 0)
        guard descriptor >= 0 else { throw .system(operation: "socket for \(address)", code: errno) }
        do throws(SocketError) {
            if case .unix(let path) = address {
                let file = try SocketFile.bind(descriptor, to: path, mode: limits.socketMode)
                do throws(SocketError) {
                    try startListening(descriptor, at: address, backlog: limits.backlog)
                } catch {
                    file.remove()
                    throw error
                }
                return ListeningSocket(descriptor: descriptor, address: address, file: file)
            }
            try setOptions(of: descriptor, at: address)
            try bindPort(descriptor, to: address)
            try startListening(descriptor, at: address, backlog: limits.backlog)
            return ListeningSocket(descriptor: descriptor, address: try SocketAddress(boundTo: descriptor), file: nil)
        } catch {
            close(descriptor)
            throw error
        }
    }

    static func dispose(of socket: ListeningSocket) {
        socket.file?.remove()
        close(socket.descriptor)
    }

    private static func setOptions(of descriptor: CInt, at address: SocketAddress) throws(SocketError) {
        // After a restart, connections of the old process may still be in TIME_WAIT on the port.
        try set(SO_REUSEADDR, level: SOL_SOCKET, of: descriptor, at: address)
        // Accepted sockets inherit it. We send whole batches, so that waiting for more to send would only delay them.
        try set(TCP_NODELAY, level: CInt(IPPROTO_TCP), of: descriptor, at: address)
        // [::] means IPv6 only: that 0.0.0.0 listens as well is said, not implied.
        if address.family == AF_INET6 { try set(IPV6_V6ONLY, level: CInt(IPPROTO_IPV6), of: descriptor, at: address) }
    }

    private static func set(_ option: CInt, level: CInt, of descriptor: CInt, at address: SocketAddress) throws(SocketError) {
        var on: CInt = 1
        guard setsockopt(descriptor, level, option, &on, socklen_t(MemoryLayout<CInt>.size)) == 0 else {
            throw .system(operation: "setsockopt for \(address)", code: errno)
        }
    }

    private static func bindPort(_ descriptor: CInt, to address: SocketAddress) throws(SocketError) {
        let code = address.withSystemAddress { bind(descriptor, $0, $1) == 0 ? 0 : errno }
        if code == EADDRINUSE { throw .inUse("\(address): somebody else listens at this address") }
        guard code == 0 else { throw .system(operation: "bind to \(address)", code: code) }
    }

    private static func startListening(_ descriptor: CInt, at address: SocketAddress, backlog: CInt) throws(SocketError) {
        guard listen(descriptor, backlog) == 0 else {
            // Linux tells a port's second listener only now when both had SO_REUSEADDR at bind.
            if errno == EADDRINUSE { throw .inUse("\(address): somebody else listens at this address") }
            throw .system(operation: "listen at \(address)", code: errno)
        }
    }
}
