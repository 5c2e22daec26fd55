// Clients' addresses against the operator's lists of networks.

import Configuration
import DispatchSockets

extension NetworkList {
    /// Whether the list has this address. A UNIX socket is in no network.
    func contains(_ address: SocketAddress) -> Bool {
        switch address {
        case .ipv4(let number, _): contains(ipv4: number)
        case .ipv6(let number, _, _): contains(ipv6: number)
        case .unix: false
        }
    }
}
