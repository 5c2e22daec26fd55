// Which connections belong to one client.

import DispatchSockets

/// Whom a limit per client counts as one: an IPv4 address, an IPv6 /64, everybody at a UNIX socket.
public enum ClientKey: Hashable, Sendable {
    case ipv4(UInt32)
    /// The upper half: a /64 is the least that one site has.
    case ipv6(UInt64)
    case local

    public init(_ address: SocketAddress) {
        switch address {
        case .ipv4(let number, _): self = .ipv4(number)
        case .ipv6(let number, _, _): self = .ipv6(UInt64(truncatingIfNeeded: number >> 64))
        case .unix: self = .local
        }
    }
}
