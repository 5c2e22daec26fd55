// What a connection tells its owner.

/// The owner of a connection. Everything is called on the loop, and nothing from within a call to the connection.
public protocol ConnectionHandler: AnyObject {
    /// Bytes have come. They are valid only during the call: they lie in a buffer that all connections of the loop share.
    func connection(_ connection: Connection, received bytes: RawSpan)
    /// The peer will send no more. Writing is still possible: it may only have closed its half.
    func connectionReachedEnd(_ connection: Connection)
    /// The backlog has fallen to the low-water mark after `write` had returned false.
    func connectionDrained(_ connection: Connection)
    /// `deadline` has passed. It is nil now; set another, close or abort.
    func connectionTimedOut(_ connection: Connection)
    /// The last call, exactly once; the descriptor is closed. `error` is nil after `close` and `abort`.
    func connectionClosed(_ connection: Connection, error: SocketError?)
}

extension ConnectionHandler {
    /// Nothing: for a handler that never stops writing because of `write`'s answer.
    public func connectionDrained(_ connection: Connection) {}
    /// Closes. A protocol that says good-bye first has its own.
    public func connectionTimedOut(_ connection: Connection) { connection.close() }
    /// Closes, after what is queued has been sent.
    public func connectionReachedEnd(_ connection: Connection) { connection.close() }
}
