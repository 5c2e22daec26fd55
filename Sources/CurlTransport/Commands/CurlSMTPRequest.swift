// Commands for a mail server that carry no mail, and what it answered.

/// A few commands for one server, each sent when the one before has been answered.
///
/// What could not be said in SMTP safely ends as `.invalid` before a socket is opened.
public struct CurlSMTPRequest: Sendable {
    public enum TLS: Sendable, Hashable {
        case never
        /// STARTTLS when the server offers it, whoever's certificate it shows: the alternative is plain text.
        case opportunistic
        /// STARTTLS with a trusted certificate in the host's name, or nothing.
        case required
    }

    public struct Credentials: Sendable, Equatable {
        public var user: String
        public var password: String

        public init(user: String, password: String) {
            self.user = user
            self.password = password
        }
    }

    public static let maximumCommands = 1_000
    /// RFC 5321, section 4.5.3.1.4, with CRLF.
    public static let maximumCommandLength = 510

    /// A domain name (A-labels), an IPv4 address, or an IPv6 address without brackets.
    public var host: String
    public var port: UInt16
    /// Our name in EHLO and HELO.
    public var heloName: String
    /// Without line ends; printable ASCII.
    public var commands: [String]
    public var tls = TLS.opportunistic
    /// The certificates that are trusted when TLS is required, as PEM; nil for the system's.
    public var certificateFile: String?
    /// Said to a server of whom TLS is required, or to one on loopback; a server that does not ask for them is not talked to.
    public var credentials: Credentials?

    /// To an open TCP connection, name look-up included.
    public var connectTimeout = Duration.seconds(30)
    /// For the greeting and for each answer.
    public var replyTimeout = Duration.seconds(300)
    public var overallTimeout = Duration.seconds(3600)

    public init(host: String, port: UInt16, heloName: String, commands: [String]) {
        self.host = host
        self.port = port
        self.heloName = heloName
        self.commands = commands
    }

    /// Why this cannot be carried out; nil when it can.
    var defect: String? {
        guard port > 0 else { return "port 0" }
        guard CurlTransfer.isPlain(host, also: "-._:"), host.utf8.count <= 255 else { return "the host is no name or address" }
        guard CurlTransfer.isPlain(heloName, also: "-._:[]"), heloName.utf8.count <= 255 else { return "the HELO name is no name or literal" }
        guard !commands.isEmpty, commands.count <= Self.maximumCommands else { return "no commands, or more than \(Self.maximumCommands)" }
        // CR or LF would begin a command of its own.
        let areSafe = commands.allSatisfy { command in
            !command.isEmpty && command.utf8.count <= Self.maximumCommandLength && command.utf8.allSatisfy { (0x20...0x7E).contains($0) }
        }
        guard areSafe else { return "a command that is empty, too long, or has control characters or bytes above 126" }
        if let certificateFile, certificateFile.isEmpty || certificateFile.utf8.contains(0) { return "the path of a certificate file" }
        if let credentials {
            guard !credentials.user.isEmpty, !credentials.user.utf8.contains(0), !credentials.password.utf8.contains(0) else {
                return "credentials that are empty or have a NUL"
            }
            let isLocal = host == "localhost" || host == "::1" || host.hasPrefix("127.")
            guard tls == .required || isLocal else { return "credentials without TLS being required" }
        }
        return nil
    }
}

/// What a server answered to commands.
public struct CurlSMTPAnswer: Sendable, Equatable {
    public struct Reply: Sendable, Equatable {
        public var code: Int
        /// Without line ends, with their codes; at most `ReplyReader.maximumLineLength` bytes each.
        public var lines: [String]
    }

    public enum Ending: Sendable, Equatable {
        /// Every command has its reply, whatever it says.
        case completed
        /// The session could not be opened: no connection, a refusal before the commands.
        case notOpened
        /// No TLS with a trusted certificate could be had.
        case notEncrypted
        /// The server takes the credentials for wrong, or asks for none.
        case notAuthenticated
        /// The connection ended before the last reply.
        case lost
        case timedOut
        /// The server said something that is no SMTP reply, too much of it, or unasked.
        case malformedReply
        case invalid(String)
        case cancelled
        case noResources(String)
    }

    public var ending: Ending
    /// To the commands, in order; fewer than there were commands unless it ended well.
    public var replies: [Reply] = []
    /// The last reply before the commands: why a session could not be opened, often.
    public var openingReply: Reply?
    /// A TCP connection stood.
    public var connected = false
    /// The connection is encrypted: the server agreed to STARTTLS.
    public var isEncrypted = false
    /// libcurl's words for what failed, one line.
    public var errorText = ""

    public init(ending: Ending) { self.ending = ending }
}
