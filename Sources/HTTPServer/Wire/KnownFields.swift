// What the server itself must know of a request's fields: host, framing, persistence, expectation.

/// Collected while the fields are read; judged by `RequestHead.apply` when all are there.
struct KnownFields {
    /// Longest Content-Length, in digits: what fits an Int.
    static let maximumLengthDigits = 18

    private(set) var hosts = 0
    private(set) var host = HeadRange.empty
    private(set) var contentLengths = 0
    private(set) var contentLength = 0
    private(set) var transferEncodings = 0
    private(set) var isChunked = false
    private(set) var saysClose = false
    private(set) var saysKeepAlive = false
    private(set) var expectations = 0
    private(set) var expectsContinue = false

    mutating func note(_ field: HeadFields.Field, _ span: Span<UInt8>, _ line: Int) throws(RequestRefusal) {
        switch field.name.count {
        case 4 where matches(span, field.name, "host"):
            hosts += 1
            host = field.value
        case 6 where matches(span, field.name, "expect"):
            expectations += 1
            expectsContinue = matches(span, field.value, "100-continue")
        case 10 where matches(span, field.name, "connection"):
            noteConnection(span, field.value.bounds)
        case 14 where matches(span, field.name, "content-length"):
            contentLengths += 1
            contentLength = try Self.readLength(span, field.value.bounds, line)
        case 17 where matches(span, field.name, "transfer-encoding"):
            transferEncodings += 1
            isChunked = matches(span, field.value, "chunked")
        default: break
        }
    }

    private mutating func noteConnection(_ span: Span<UInt8>, _ bounds: Range<Int>) {
        var start = bounds.lowerBound
        for at in bounds.lowerBound...bounds.upperBound where at == bounds.upperBound || span[at] == 0x2C {
            var end = at
            while start < end, ByteRules.isBlank(span[start]) { start += 1 }
            while start < end, ByteRules.isBlank(span[end - 1]) { end -= 1 }
            if matches(span, HeadRange(start, end), "close") { saysClose = true }
            if matches(span, HeadRange(start, end), "keep-alive") { saysKeepAlive = true }
            start = at + 1
        }
    }

    private static func readLength(_ span: Span<UInt8>, _ bounds: Range<Int>, _ line: Int) throws(RequestRefusal) -> Int {
        guard !bounds.isEmpty, bounds.count <= maximumLengthDigits else {
            throw .badLine(line, "Content-Length must have 1 to \(maximumLengthDigits) digits.")
        }
        var value = 0
        for at in bounds {
            guard ByteRules.isDigit(span[at]) else { throw .badLine(line, "Content-Length must be one number, digits only.") }
            value = value * 10 + Int(span[at] &- 0x30)
        }
        return value
    }
}
