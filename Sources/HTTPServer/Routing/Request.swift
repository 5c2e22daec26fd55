// What a handler gets.
import DispatchSockets
import HTTPTypes

/// The decoded values of a route's parameters.
public struct PathParameters: Sendable {
    let names: [String]
    let values: [String]

    init(names: [String] = [], values: [String] = []) {
        self.names = names
        self.values = values
    }

    public subscript(name: String) -> String? {
        for (index, candidate) in names.enumerated() where candidate == name && index < values.count { return values[index] }
        return nil
    }
}

/// A complete request.
public struct Request: Sendable {
    private enum Fields: Sendable {
        case head(HeadFields)
        case list(HTTPFields)
    }

    public var method: HTTPRequest.Method
    /// As sent, without the query; `parameters` are decoded.
    public var path: String
    public var query: QueryItems
    /// Set by the router.
    public var parameters = PathParameters()
    /// The template of the route that was chosen, `/domains/{domain}`; nil before that. Fit to be a metric's label.
    public internal(set) var route: String?
    /// At most `HTTPLimits.maximumBody` bytes.
    public var body: [UInt8]
    public var peer: Peer
    private let fields: Fields

    /// A request as if it had come over the wire. A query may be part of `path`.
    public init(
        method: HTTPRequest.Method, path: String, query: String = "", fields: HTTPFields = HTTPFields(), body: [UInt8] = [],
        peer: Peer = Peer(address: .unix(path: ""))
    ) {
        let parts = path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        self.method = method
        self.path = String(parts[0])
        self.query = QueryItems(query.isEmpty && parts.count > 1 ? String(parts[1]) : query)
        self.body = body
        self.peer = peer
        self.fields = .list(fields)
    }

    init(_ head: RequestHead, body: [UInt8], peer: Peer) {
        method = head.method
        path = head.pathText
        query = QueryItems(head.queryText)
        self.body = body
        self.peer = peer
        fields = .head(head.fields)
    }

    /// The value of a field; several of one name are joined with ", ". Bytes that are not UTF-8 become U+FFFD.
    public func field(_ name: HTTPField.Name) -> String? {
        switch fields {
        case .head(let head): head.combined(name.canonicalName)
        case .list(let list): list[name]
        }
    }
}
