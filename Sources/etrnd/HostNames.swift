// Which Host values are ours: a name that a web page made up must not reach a local daemon.

import DispatchSockets
import Synchronization

/// `localhost`, the addresses listened on, and `http_host_names`.
final class HostNames: Sendable {
    private let names: Mutex<Set<String>>
    /// We listen on every address of the machine: any address may be ours, and no name can pretend to be one.
    private let takesAnyAddress = Mutex(false)

    init(_ configured: [String]) { names = Mutex(Set(configured.map { $0.lowercased() } + ["localhost"])) }

    func add(_ address: SocketAddress) {
        switch address {
        case .ipv4(let number, _):
            if number == 0 { takesAnyAddress.withLock { $0 = true } }
            names.withLock { _ = $0.insert(address.host) }
        case .ipv6(let number, _, _):
            if number == 0 { takesAnyAddress.withLock { $0 = true } }
            names.withLock { _ = $0.insert("[\(address.host)]") }
        case .unix: break
        }
    }

    @Sendable func allows(_ host: String, from peer: Peer) -> Bool {
        // Over a UNIX socket curl sends whatever its URL says; a client of HTTP/1.0 may name no host, which no browser does.
        if case .unix = peer.address { return true }
        if host.isEmpty || names.withLock({ $0.contains(host) }) { return true }
        return takesAnyAddress.withLock { $0 } && (host.hasPrefix("[") || (try? SocketAddress(parsing: "\(host):1")) != nil)
    }
}
