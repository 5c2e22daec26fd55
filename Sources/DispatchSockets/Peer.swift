// Who is at the other end of a connection.

/// A connection's peer.
public struct Peer: Sendable {
    public let address: SocketAddress
    /// Who called connect(2); only for UNIX sockets. The process may have ended since, and its ID been used again.
    public let credentials: (uid: UInt32, gid: UInt32, pid: Int32)?

    public init(address: SocketAddress, credentials: (uid: UInt32, gid: UInt32, pid: Int32)? = nil) {
        self.address = address
        self.credentials = credentials
    }
}
