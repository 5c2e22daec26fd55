// Who may ask. Tokens and scopes are not here yet: until then it is the address, or the user at the other end of the UNIX socket.

import DispatchSockets
import FlushCore
import FlushWire
import HTTPServer
import HTTPTypes

/// Somebody who may ask.
enum Principal: Sendable {
    case localUser(UInt32)
    case trusted(SocketAddress)

    /// In words that may be shown. Made when somebody asks: most requests leave no trace.
    var name: String {
        switch self {
        case .localUser(let user): "unix:\(user)"
        case .trusted(let address): "trusted:\(address.host)"
        }
    }
}

/// Admits TCP clients of `http_trusted_networks`, and on the UNIX socket root and the daemon's own user.
public struct AccessControl: Sendable {
    private let isTrusted: @Sendable (SocketAddress) -> Bool
    private let ownUser: UInt32

    /// - Parameters:
    ///   - ownUser: the user whom the daemon runs as.
    ///   - isTrusted: whether `http_trusted_networks` has this address.
    public init(ownUser: UInt32, isTrusted: @escaping @Sendable (SocketAddress) -> Bool) {
        self.ownUser = ownUser
        self.isTrusted = isTrusted
    }

    func admit(_ request: Request) throws(Problem) -> Principal {
        try refuseOtherOrigins(request)
        if case .unix = request.peer.address {
            guard let user = request.peer.credentials?.uid, user == 0 || user == ownUser else {
                throw Problem(
                    kind: .forbidden, status: .forbidden, detail: "The UNIX socket serves root and the daemon's own user (\(ownUser)) only.")
            }
            return .localUser(user)
        }
        guard isTrusted(request.peer.address) else {
            throw Problem(
                kind: .forbidden, status: .forbidden,
                detail: "\(request.peer.address.host) is not in http_trusted_networks. Add its network there, or use the UNIX socket.")
        }
        return .trusted(request.peer.address)
    }

    /// A web page elsewhere must not drive a local daemon: browsers say on whose behalf they ask, other clients say nothing.
    private func refuseOtherOrigins(_ request: Request) throws(Problem) {
        guard request.method != .get, request.method != .head, let origin = request.field(.origin) else { return }
        guard let host = request.field(.host), origin == "http://\(host)" || origin == "https://\(host)" else {
            throw Problem(kind: .forbidden, status: .forbidden, detail: "Requests on behalf of another web page are refused (the Origin field).")
        }
    }
}

extension HTTPField.Name {
    static var host: HTTPField.Name { HTTPField.Name("Host") ?? .origin }
}
