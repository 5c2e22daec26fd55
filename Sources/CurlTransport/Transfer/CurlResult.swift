// What became of a transfer, told so that its caller can judge.

/// The end of a transfer. What the server answered is in `exchanges`; why there is no more of it in `ending`.
public struct CurlResult: Sendable, Equatable {
    public enum Ending: Sendable, Equatable {
        /// The dialogue ran to its end, whatever the answers were.
        case completed
        /// libcurl could not open the session; `code` and `errorText` say why.
        case notOpened
        /// The connection was closed or reset, by us or by the server.
        case lost
        case timedOut
        /// The server said something that is no SMTP reply, or too much of it.
        case malformedReply
        /// The content could not be read, or was not of its stated size.
        case uploadFailed(String)
        /// The transfer cannot be said in SMTP.
        case invalid(String)
        /// The task was cancelled, or the transport was shut down.
        case cancelled
        /// Too many transfers wait, or the system has no resources left.
        case noResources(String)
    }

    public var ending: Ending
    /// The step that was under way at the end; nil when it was none.
    public var interruptedStep: CurlExchange.Step?
    /// libcurl's result (`CURLcode`), 0 when it has nothing to complain of.
    public var code = 0
    /// libcurl's words for `code`, one line.
    public var errorText = ""
    /// The errno of a failed connection attempt; 0 when there is none.
    public var systemError: Int32 = 0
    /// The server's address as digits: the one connected to, else the last one tried.
    public var address: String?
    /// A TCP connection stood.
    public var connected = false
    /// Every final reply, in order. On a reused connection it starts with this transfer's own commands.
    public var exchanges: [CurlExchange] = []
    /// Bytes of the content handed to the connection.
    public var bytesUploaded = 0
    /// The final dot was handed to the connection: without a reply to it nobody knows whether the server has the message.
    public var finalDotSent = false
    public var reusedConnection = false

    public init(ending: Ending) { self.ending = ending }

    /// The last final reply's code; 0 when there was none.
    public var responseCode: Int { exchanges.last?.code ?? 0 }
    /// All reply lines, in order.
    public var headerLines: [String] { exchanges.flatMap(\.lines) }
}

/// One final reply and what it answers.
public struct CurlExchange: Sendable, Equatable {
    public enum Step: Sendable, Equatable {
        case greeting
        /// EHLO or HELO.
        case hello
        case startTLS
        case reset
        case mail
        /// The recipient with this index.
        case recipient(Int)
        case data
        /// The content and its final dot.
        case content
        case quit
        /// Something else that libcurl said while it opened the session.
        case other
    }

    public var step: Step
    public var code: Int
    /// Without line ends; each at most `ReplyReader.maximumLineLength` bytes.
    public var lines: [String]

    public init(step: Step, code: Int, lines: [String]) {
        self.step = step
        self.code = code
        self.lines = lines
    }
}
