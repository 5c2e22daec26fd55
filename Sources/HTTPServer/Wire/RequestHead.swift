// A request line with its fields, checked, kept as one copy of the bytes and ranges into it.
import HTTPTypes

/// A stretch of a head. 32 bits, so that a field needs 16 bytes: the head is at most 16 MiB.
struct HeadRange: Sendable, Equatable {
    var start: UInt32
    var count: UInt32

    init(_ start: Int, _ end: Int) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.count = UInt32(truncatingIfNeeded: end - start)
    }

    static var empty: HeadRange { HeadRange(0, 0) }
    var bounds: Range<Int> { Int(start)..<Int(start) + Int(count) }
}

/// The fields of a head, looked up in the bytes and made into text only when somebody asks.
struct HeadFields: Sendable {
    struct Field: Sendable {
        var name: HeadRange
        var value: HeadRange
    }

    let bytes: [UInt8]
    var list: [Field] = []

    /// The value under a lower-case name; several are joined with a comma (RFC 9110, section 5.3).
    func combined(_ canonicalName: String) -> String? {
        var found: String?
        for field in list where Int(field.name.count) == canonicalName.utf8.count {
            guard matches(field.name, canonicalName) else { continue }
            let value = text(field.value)
            found = found.map { $0 + ", " + value } ?? value
        }
        return found
    }

    func text(_ range: HeadRange) -> String { String(decoding: bytes[range.bounds], as: UTF8.self) }

    private func matches(_ range: HeadRange, _ lowercased: String) -> Bool {
        var at = Int(range.start)
        for byte in lowercased.utf8 {
            if ByteRules.lowercased(bytes[at]) != byte { return false }
            at += 1
        }
        return true
    }
}

/// How the end of a body is found (RFC 9112, section 6).
enum BodyFraming: Equatable, Sendable {
    case none
    case length(Int)
    case chunked
}

/// What a request line and its fields say.
struct RequestHead: Sendable {
    var method: HTTPRequest.Method
    /// Raw, without the query; empty in an absolute target without a path.
    var path = HeadRange.empty
    /// What follows the first question mark.
    var query = HeadRange.empty
    /// The authority without its port: the absolute target's, else the Host field's.
    var host = HeadRange.empty
    /// False for HTTP/1.0.
    var isVersion11: Bool
    /// What the client wants: HTTP/1.1 unless it says close, HTTP/1.0 only when it says keep-alive.
    var keepsAlive: Bool
    var expectsContinue = false
    var framing = BodyFraming.none
    var fields: HeadFields

    var pathText: String { path.count == 0 ? "/" : fields.text(path) }
    var queryText: String { query.count == 0 ? "" : fields.text(query) }

    /// Lower case; an IPv6 address keeps its brackets; empty when an HTTP/1.0 client names none.
    var hostText: String {
        if !fields.bytes[host.bounds].contains(where: { ByteRules.lowercased($0) != $0 }) { return fields.text(host) }
        return String(decoding: fields.bytes[host.bounds].lazy.map(ByteRules.lowercased), as: UTF8.self)
    }
}
