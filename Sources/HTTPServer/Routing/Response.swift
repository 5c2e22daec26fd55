// What a handler gives back.
import HTTPTypes

/// The content of a response. A streamed body will be a further case.
public enum ResponseBody: Sendable {
    case bytes([UInt8])

    public static var empty: ResponseBody { .bytes([]) }
    public static func text(_ text: String) -> ResponseBody { .bytes(Array(text.utf8)) }

    public var count: Int {
        switch self {
        case .bytes(let bytes): bytes.count
        }
    }
}

/// An answer. Content-Length, Connection, Transfer-Encoding and Date are the server's and ignored in `fields`.
///
/// Making one costs a few allocations; a handler that always says the same may keep it, `prepared`, and return it again.
public struct Response: Sendable {
    public var status: HTTPResponse.Status { didSet { head = nil } }
    public var fields: HTTPFields { didSet { head = nil } }
    /// Not sent in answer to HEAD (its length is), nor with 204 and 304.
    public var body: ResponseBody { didSet { head = nil } }
    /// What `ResponseWriter` would make of the above, up to what each answer has of its own.
    private(set) var head: [UInt8]?

    public init(status: HTTPResponse.Status = .ok, fields: HTTPFields = HTTPFields(), body: ResponseBody = .empty) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    public init(status: HTTPResponse.Status = .ok, contentType: String, body: ResponseBody) {
        self.init(status: status, fields: [.contentType: contentType], body: body)
    }

    /// The same, which costs little to send again.
    public var prepared: Response {
        var response = self
        response.head = ResponseWriter.head(of: self)
        return response
    }
}
