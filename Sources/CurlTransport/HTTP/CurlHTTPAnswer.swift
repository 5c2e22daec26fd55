// What became of an HTTP request, told so that its caller can judge.

/// The end of a request. Half an answer is told as far as it came.
public struct CurlHTTPAnswer: Sendable, Equatable {
    public enum Ending: Sendable, Equatable {
        /// The whole answer is there, whatever it says.
        case answered
        /// No connection stood: the server has not seen the request.
        case notConnected
        /// TLS failed, or the certificate is not trusted: the server has not seen the request.
        case notTrusted
        /// The connection ended before the answer did.
        case lost
        case timedOut
        /// What came is no HTTP.
        case malformed
        /// The answer has more bytes than the request allows.
        case tooLarge
        /// The request cannot be said in HTTP.
        case invalid(String)
        /// The task was cancelled, or the transport was shut down.
        case cancelled
        /// Too many requests wait, or the system has no resources left.
        case noResources(String)
    }

    public var ending: Ending
    /// 0 when no status line came.
    public var status = 0
    /// Names in lower case; the fields of the final answer, in order.
    public var fields: [CurlHTTPRequest.Field] = []
    public var body: [UInt8] = []
    /// A connection stood, and the request was being sent.
    public var connected = false
    public var reusedConnection = false
    /// libcurl's result (`CURLcode`), 0 when it has nothing to complain of.
    public var code = 0
    /// libcurl's words for `code`, one line.
    public var errorText = ""
    /// The errno of a failed connection attempt; 0 when there is none.
    public var systemError: Int32 = 0

    public init(ending: Ending) { self.ending = ending }

    /// Some byte of an answer came.
    public var hasBegun: Bool { status != 0 }

    /// The first field of this name (in lower case).
    public func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }
}
