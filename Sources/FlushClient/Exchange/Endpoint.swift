// One request of the API, before it is sent.

import CurlTransport
import JSONText

/// Method, path and what goes with them. Paths and queries are percent-encoded here and nowhere else.
struct Endpoint: Sendable {
    var method: String
    private(set) var target: String
    var fields: [CurlHTTPRequest.Field] = []
    private(set) var body: [UInt8]?
    /// How long the server was asked to wait before it answers.
    var serverWait = Duration.zero

    /// - Parameter path: its segments, as they are meant.
    init(_ method: String, _ path: String...) {
        self.method = method
        target = path.map { "/" + PercentText.encode($0.utf8) }.joined()
    }

    /// Adds a query parameter; none for nil.
    mutating func query(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        target += "\(target.contains("?") ? "&" : "?")\(name)=\(PercentText.encode(value.utf8))"
    }

    /// Adds a query parameter that is false when it is not there.
    mutating func query(_ name: StaticString, _ flag: Bool) { query(name, flag ? "true" : nil) }

    mutating func query(_ name: StaticString, _ number: Int?) { query(name, number.map(String.init)) }

    /// Sends a JSON body.
    mutating func json(_ write: (inout JSONWriter) -> Void) {
        var writer = JSONWriter()
        write(&writer)
        body = writer.bytes
        fields.append(.init("Content-Type", "application/json"))
    }

    /// It changes nothing, so that it may be sent twice (RFC 9110, section 9.2.1).
    var isSafe: Bool { method == "GET" }
}
