// What the server tells whoever logs and counts. No addresses, no text of a client's.

/// Something that happened; told on the loop, so whoever listens must be quick.
public enum SMTPEvent: Sendable, Equatable {
    /// A connection was taken; `open` counts it.
    case connected(open: Int)
    /// A connection was turned away with a 421.
    case refused(SMTPRefusal)
    /// A reply was sent.
    case replied(to: SMTPVerb, code: Int)
    /// A message was committed with a 2yz: its size with dots unstuffed, its recipients.
    case accepted(bytes: Int, recipients: Int)
    /// A connection is gone; `open` no longer counts it.
    case disconnected(SMTPEnding, open: Int)
}

/// Why a connection was turned away.
public enum SMTPRefusal: String, Sendable {
    case tooManyConnections, tooManyConnectionsOfClient, stopping
}

/// How a connection ended.
public enum SMTPEnding: String, Sendable {
    /// Closed by us after a last reply, or by the client between messages.
    case orderly
    /// The client vanished.
    case lost
    /// Cut off by us: it read nothing, or the intake did not answer in time, or the server could not wait any longer.
    case aborted
}
