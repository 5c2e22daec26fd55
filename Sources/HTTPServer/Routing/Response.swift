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
/// Making one costs a few allocations; a handler that always says the same may keep it and return it again.
public struct Response: Sendable {
    public var status: HTTPResponse.Status
    public var fields: HTTPFields
    /// Not sent in answer to HEAD (its length is), nor with 204 and 304.
    public var body: ResponseBody

    public init(status: HTTPResponse.Status = .ok, fields: HTTPFields = HTTPFields(), body: ResponseBody = .empty) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    public init(status: HTTPResponse.Status = .ok, contentType: String, body: ResponseBody) {
        self.init(status: status, fields: [.contentType: contentType], body: body)
    }
}
