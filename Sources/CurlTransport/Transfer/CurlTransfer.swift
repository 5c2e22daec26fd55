// What somebody wants carried: at present one message to one mail server.

/// One message for one mail server, and how long to wait for it.
///
/// Addresses are ASCII in their wire form, without angle brackets; a transfer that could not be said in SMTP safely ends
/// as `.invalid` before a socket is opened. Nothing of the environment (`ALL_PROXY`, `.netrc`) matters.
public struct CurlTransfer: Sendable {
    /// Opportunistic TLS never verifies: a name that nobody authenticated is no reason to refuse its certificate, and the
    /// alternative is plain text.
    public enum TLS: Sendable, Hashable {
        /// STARTTLS when the server offers it.
        case opportunistic
        case never
    }

    /// At most this many recipients in one transfer. A server may take fewer (at least 100, RFC 5321, section 4.5.3.1.8) and say 452 to
    /// the others.
    public static let maximumRecipients = 10_000
    /// RFC 5321, section 4.5.3.1.3, allows 256 bytes for a path; a long domain behind a long quoted local part gets some more.
    public static let maximumAddressLength = 512

    /// A domain name (A-labels), an IPv4 address, or an IPv6 address without brackets.
    public var host: String
    public var port: UInt16
    /// Our name in EHLO and HELO: a domain name or an address literal in brackets.
    public var heloName: String
    /// Empty for the null reverse-path.
    public var sender: String
    public var recipients: [String]
    public var content: any CurlUpload
    /// The content's exact length in bytes: told to a server that offers SIZE, and compared with what was uploaded.
    public var size: Int
    /// The content has bytes above 127: said with `BODY=8BITMIME` where the server offers that.
    public var isEightBit = false
    public var tls = TLS.opportunistic
    /// A local address or interface to send from; nil leaves that to the system.
    public var interface: String?
    /// A connection left open by an earlier transfer may be used.
    public var mayReuseConnection = true
    /// The connection is left open for the next transfer when its session is still good.
    public var keepsConnection = true

    /// From the start to an open TCP connection, name look-up included.
    public var connectTimeout = Duration.seconds(30)
    /// For the greeting and for each answer but those with a limit of their own (RFC 5321, section 4.5.3.2).
    public var replyTimeout = Duration.seconds(300)
    /// For the answer to the final dot. Giving up too early delivers twice (RFC 5321, section 4.5.3.2.6).
    public var contentReplyTimeout = Duration.seconds(600)
    /// How long the server may take no byte of the content.
    public var stallTimeout = Duration.seconds(180)
    /// For the whole transfer, from its start (not from its time in the queue).
    public var overallTimeout = Duration.seconds(6 * 3600)

    public init(
        host: String, port: UInt16, heloName: String, sender: String, recipients: [String], content: any CurlUpload, size: Int
    ) {
        self.host = host
        self.port = port
        self.heloName = heloName
        self.sender = sender
        self.recipients = recipients
        self.content = content
        self.size = size
    }
}

/// Where a message's content comes from.
///
/// The transfer asks from a task of its own, one call at a time, and not before the server has agreed to take the content: a transfer that
/// ended earlier (no `.data` exchange with code 354) can be repeated with the same upload. Nothing is called after `CurlMulti.perform` has
/// returned; a call under way when the transfer ends has its task cancelled and is waited for.
public protocol CurlUpload: AnyObject, Sendable {
    /// The next bytes, at most `maximum` of them; empty at the end. Lines end with CRLF; a bare LF is sent as CRLF.
    func next(maximum: Int) async throws -> [UInt8]
}
