// Every bound of the SMTP server in one place.

/// How much and how long a client may. The defaults suit an open port.
public struct SMTPLimits: Sendable, Equatable {
    /// Longest command line in bytes, line end included. RFC 5321, section 4.5.3.1.4, asks for 512 and more for parameters.
    public var maximumLine = 2048
    /// Largest message in bytes with dots unstuffed; told in EHLO's `SIZE`.
    public var maximumMessageSize = 10_240_000
    /// How much of a refused content is read and dropped, so that the client gets its reply, before the connection is closed.
    public var maximumDiscard = 51_200_000
    /// Recipients of a transaction; more get 452 (RFC 5321, section 4.5.3.1.10), and ten times as many commands end the session.
    public var maximumRecipients = 1000
    /// Commands, RCPT not counted, since the last accepted message.
    public var maximumCommands = 100
    /// Commands answered with 5yz since the last accepted message.
    public var maximumErrors = 20
    /// How long a client may take for a whole command line (RFC 5321, section 4.5.3.2.7), or to read its replies.
    public var commandTimeout = Duration.seconds(300)
    /// How long a client may pause in the content (RFC 5321, section 4.5.3.2.5).
    public var dataTimeout = Duration.seconds(180)
    /// How long a content may take altogether.
    public var contentLimit = Duration.seconds(3600)
    /// How long a session may last; it is ended between two commands.
    public var sessionLimit = Duration.seconds(4 * 3600)
    /// How long the intake may take for one answer. RFC 5321, section 4.5.3.2.6: clients wait 600 s for the reply to the content.
    public var intakeTimeout = Duration.seconds(600)
    /// How long the answer to an ETRN may take; then it is 458. Longer than a core that has just started looks through its queue,
    /// shorter than any client's patience.
    public var etrnTimeout = Duration.seconds(60)
    /// How long what a client still sends is dropped after the last reply, so that it is not lost to a reset.
    public var linger = Duration.seconds(5)
    public var maximumConnections = 100
    /// Connections from one address: an IPv4 address, an IPv6 /64, all of a UNIX socket's.
    public var maximumConnectionsPerClient = 50
    /// The content goes to the writer in pieces of this many bytes. What is held of a connection's input never exceeds a
    /// piece and one read of the loop.
    public var contentChunk = 64 * 1024

    public init() {}
}
