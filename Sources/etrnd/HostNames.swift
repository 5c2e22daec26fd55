// Which Host values are ours: a name that a web page made up must not reach a local daemon.

import DispatchSockets
import Synchronization

/// `localhost`, the addresses listened on, and `http_host_names`.
final class HostNames: Sendable {
    private struct Names {
        /// The addresses first, which most clients use; so few that looking through them is quicker than hashing.
        var list: [String]
        /// We listen on every address of the machine: any address may be ours, and no name can pretend to be one.
        var takesAnyAddress = false
    }

    private let names: Mutex<Names>

    init(_ configured: [String]) { names = Mutex(Names(list: ["localhost"] + configured.map { $0.lowercased() })) }

    func add(_ address: SocketAddress) {
        names.withLock { names in
            switch address {
            case .ipv4(let number, _):
                if number == 0 { names.takesAnyAddress = true }
                names.list.insert(address.host, at: 0)
            case .ipv6(let number, _, _):
                if number == 0 { names.takesAnyAddress = true }
                names.list.insert("[\(address.host)]", at: 0)
            case .unix: break
            }
        }
    }

    @Sendable func allows(_ host: String, from peer: Peer) -> Bool {
        // Over a UNIX socket curl sends whatever its URL says; a client of HTTP/1.0 may name no host, which no browser does.
        if case .unix = peer.address { return true }
        if host.isEmpty { return true }
        let (isListed, takesAnyAddress) = names.withLock { ($0.list.contains(host), $0.takesAnyAddress) }
        return isListed || takesAnyAddress && (host.hasPrefix("[") || (try? SocketAddress(parsing: "\(host):1")) != nil)
    }
}
