// From the bytes of a complete head to a RequestHead: the syntax of RFC 9112, sections 2 to 5, without its leniencies.
import HTTPTypes

extension RequestHead {
    /// Longest method, in bytes. The longest registered one has 17.
    static let maximumMethod = 32

    /// - Parameter bytes: from the request line to the empty line; every line feed in it follows a carriage return, and the
    ///   only empty line is the last (`HeadScan` saw to both). So a scan that stops at CR always has a byte after it.
    init(parsing bytes: [UInt8], limits: HTTPLimits) throws(RequestRefusal) {
        let span = bytes.span
        var at = 0
        let method = try Self.readMethod(span, &at)
        let target = try Self.readTarget(span, &at, limits)
        let isVersion11 = try Self.readVersion(span, &at)
        self.init(method: method, isVersion11: isVersion11, keepsAlive: isVersion11, fields: HeadFields(bytes: bytes))

        var known = KnownFields()
        try readFields(span, &at, &known, limits)
        try apply(target: target, span)
        try apply(known, limits)
    }

    // MARK: Request line

    private static func readMethod(_ span: Span<UInt8>, _ at: inout Int) throws(RequestRefusal) -> HTTPRequest.Method {
        while ByteRules.isToken(span[at]) { at += 1 }
        guard at > 0, span[at] == ByteRules.space else { throw .badLine(1, "it must begin with a method and one space.") }
        guard at <= maximumMethod else {
            throw RequestRefusal(.notImplemented, "No method has more than \(maximumMethod) letters.")
        }
        let name = HeadRange(0, at)
        at += 1
        if spells(span, name, "GET") { return .get }
        if spells(span, name, "POST") { return .post }
        if spells(span, name, "PUT") { return .put }
        if spells(span, name, "HEAD") { return .head }
        if spells(span, name, "DELETE") { return .delete }
        let text = String(decoding: (0..<Int(name.count)).map { span[$0] }, as: UTF8.self)
        guard text != "CONNECT", let method = HTTPRequest.Method(rawValue: text) else {
            throw RequestRefusal(.notImplemented, "This server is not a proxy: there is no CONNECT.")
        }
        return method
    }

    private static func readTarget(
        _ span: Span<UInt8>, _ at: inout Int, _ limits: HTTPLimits
    ) throws(RequestRefusal) -> HeadRange {
        let start = at
        while ByteRules.isTarget(span[at]) { at += 1 }
        guard span[at] == ByteRules.space else { throw .badLine(1, "byte \(at + 1) may not stand in a request target.") }
        guard at > start else { throw .badLine(1, "there must be one space between method and target.") }
        guard at - start <= limits.maximumTarget else { throw .targetTooLong(limits) }
        defer { at += 1 }
        return HeadRange(start, at)
    }

    /// True for HTTP/1.1 and for later minor versions, which speak it too (RFC 9110, section 2.5).
    private static func readVersion(_ span: Span<UInt8>, _ at: inout Int) throws(RequestRefusal) -> Bool {
        let start = at
        while span[at] != ByteRules.carriageReturn { at += 1 }
        let end = at
        at += 2
        // Exactly "HTTP/" and two digits with a point between them; the name is case-sensitive.
        guard end - start == 8, span[start] == 0x48, span[start + 1] == 0x54, span[start + 2] == 0x54,
            span[start + 3] == 0x50, span[start + 4] == 0x2F, ByteRules.isDigit(span[start + 5]), span[start + 6] == 0x2E,
            ByteRules.isDigit(span[start + 7]), span[end + 1] == ByteRules.lineFeed
        else { throw .badLine(1, "it must end with one space and HTTP/1.1 or HTTP/1.0.") }
        guard span[start + 5] == 0x31 else {
            throw RequestRefusal(.httpVersionNotSupported, "This server speaks HTTP/1.1 and HTTP/1.0.")
        }
        return span[start + 7] != 0x30
    }

    // MARK: Fields

    private mutating func readFields(
        _ span: Span<UInt8>, _ at: inout Int, _ known: inout KnownFields, _ limits: HTTPLimits
    ) throws(RequestRefusal) {
        var line = 2
        fields.list.reserveCapacity(12)
        while !(span[at] == ByteRules.carriageReturn && span[at + 1] == ByteRules.lineFeed) {
            let field = try Self.readField(span, &at, line)
            guard fields.list.count < limits.maximumFields else { throw .tooManyFields(limits) }
            fields.list.append(field)
            try known.note(field, span, line)
            line += 1
        }
    }

    private static func readField(
        _ span: Span<UInt8>, _ at: inout Int, _ line: Int
    ) throws(RequestRefusal) -> HeadFields.Field {
        let nameStart = at
        while ByteRules.isToken(span[at]) { at += 1 }
        let nameEnd = at
        guard span[at] == ByteRules.colon, nameEnd > nameStart else {
            throw .badLine(line, faultInName(span[at], isFirst: nameEnd == nameStart))
        }
        at += 1
        while ByteRules.isBlank(span[at]) { at += 1 }
        let valueStart = at
        while ByteRules.isFieldValue(span[at]) { at += 1 }
        guard span[at] == ByteRules.carriageReturn, span[at + 1] == ByteRules.lineFeed else {
            throw .badLine(line, "a control character stands in the field's value.")
        }
        var valueEnd = at
        while valueEnd > valueStart, ByteRules.isBlank(span[valueEnd - 1]) { valueEnd -= 1 }
        at += 2
        return HeadFields.Field(name: HeadRange(nameStart, nameEnd), value: HeadRange(valueStart, valueEnd))
    }

    private static func faultInName(_ byte: UInt8, isFirst: Bool) -> String {
        switch (byte, isFirst) {
        case (ByteRules.space, true), (ByteRules.tab, true):
            "fields may not be folded over several lines (RFC 9112, section 5.2)."
        case (ByteRules.space, false), (ByteRules.tab, false): "no space may stand before the colon."
        case (ByteRules.colon, _): "the field has no name."
        case (ByteRules.carriageReturn, false): "the field has no colon."
        default: "a byte stands in the field's name that may not be there."
        }
    }
}
