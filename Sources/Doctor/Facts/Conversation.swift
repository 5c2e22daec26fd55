// How it went to connect to something and to listen to it.

/// What came of connecting somewhere.
enum Conversation: Equatable, Sendable {
    /// It said this before the time was up.
    case heard(String)
    /// The connection stands, and nothing came.
    case silent
    /// It took the connection and closed it without a word.
    case closed
    /// There is no connection; the text says why.
    case unreachable(String)
}

/// The process at the other end of a UNIX socket.
struct PeerProcess: Equatable, Sendable {
    var id: Int32
    /// With the groups that it has at this moment, where they may be seen.
    var identity: Identity
    /// Its command's name; nil when it may not be seen.
    var command: String?
}
