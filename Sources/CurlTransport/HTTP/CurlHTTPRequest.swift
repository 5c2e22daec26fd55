// What somebody wants asked over HTTP.

/// One HTTP request, and how long to wait for its answer.
///
/// What could not be said in HTTP safely ends as `.invalid` before a socket is opened. Nothing of the environment (`http_proxy`, `.netrc`)
/// matters, and no redirection is followed.
public struct CurlHTTPRequest: Sendable {
    public struct Field: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public static let maximumURLLength = 16 * 1024
    public static let maximumFields = 50
    public static let maximumFieldLength = 8 * 1024

    /// GET, HEAD, POST, PUT or DELETE.
    public var method: String
    /// `http://` or `https://`, percent-encoded where it must be.
    public var url: String
    /// A UNIX socket to connect to instead of the URL's host.
    public var unixSocket: String?
    public var fields: [Field]
    /// Nil for none; empty says `Content-Length: 0`.
    public var body: [UInt8]?
    /// The certificates that are trusted, as PEM; nil for the system's.
    public var certificateFile: String?

    /// To an open connection, name look-up and TLS included.
    public var connectTimeout = Duration.seconds(10)
    /// From the call to the end of the answer, the wait for a free connection included.
    public var overallTimeout = Duration.seconds(30)
    /// Bytes of the answer's body.
    public var maximumAnswer = 16 << 20

    public init(method: String, url: String, unixSocket: String? = nil, fields: [Field] = [], body: [UInt8]? = nil) {
        self.method = method
        self.url = url
        self.unixSocket = unixSocket
        self.fields = fields
        self.body = body
    }

    /// Why this request cannot be carried out; nil when it can.
    var defect: String? {
        guard ["GET", "HEAD", "POST", "PUT", "DELETE"].contains(method) else { return "the method \(method.debugDescription)" }
        guard body == nil || (method != "GET" && method != "HEAD") else { return "a body with \(method)" }
        guard url.hasPrefix("http://") || url.hasPrefix("https://") else { return "a URL that is neither http:// nor https://" }
        guard url.utf8.count <= Self.maximumURLLength else { return "a URL longer than \(Self.maximumURLLength) bytes" }
        guard url.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return "a URL with spaces, control characters or bytes above 126" }
        if let unixSocket, unixSocket.isEmpty || unixSocket.utf8.contains(0) { return "the path of a UNIX socket" }
        if let certificateFile, certificateFile.isEmpty || certificateFile.utf8.contains(0) { return "the path of a certificate file" }
        guard fields.count <= Self.maximumFields else { return "more than \(Self.maximumFields) fields" }
        // RFC 9110, section 5.5: CR and LF in a value would begin a field, or a request, of their own.
        guard fields.allSatisfy({ Self.isToken($0.name) && Self.isValue($0.value) }) else { return "a field that cannot be sent" }
        return nil
    }

    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 100
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    /// Not empty: libcurl takes a name with nothing behind it for a field to be left out.
    private static func isValue(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= maximumFieldLength && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }
}
