// What a request's target and fields mean together: RFC 9112, sections 3.2, 6 and 9.3.
import HTTPTypes

extension RequestHead {
    /// The four forms of RFC 9112, section 3.2; the authority form went away with CONNECT.
    mutating func apply(target: HeadRange, _ span: Span<UInt8>) throws(RequestRefusal) {
        let bounds = target.bounds
        var pathStart = bounds.lowerBound
        if span[pathStart] == 0x2A, bounds.count == 1 {
            guard method == .options else { throw .badLine(1, "the target * is for OPTIONS only.") }
        } else if span[pathStart] != 0x2F {
            let scheme = Self.schemeLength(span, bounds)
            guard scheme > 0 else { throw .badLine(1, "the target must be a path or an http URL.") }
            let authority = pathStart + scheme
            pathStart = authority
            while pathStart < bounds.upperBound, span[pathStart] != 0x2F, span[pathStart] != 0x3F { pathStart += 1 }
            guard let host = Self.host(span, authority..<pathStart), host.count > 0 else {
                throw .badLine(1, "the URL's authority must be a host name or address with an optional port.")
            }
            self.host = host
        }
        var pathEnd = pathStart
        while pathEnd < bounds.upperBound, span[pathEnd] != 0x3F { pathEnd += 1 }
        path = HeadRange(pathStart, pathEnd)
        query = pathEnd < bounds.upperBound ? HeadRange(pathEnd + 1, bounds.upperBound) : .empty
    }

    private static func schemeLength(_ span: Span<UInt8>, _ bounds: Range<Int>) -> Int {
        if bounds.count > 7, matches(span, HeadRange(bounds.lowerBound, bounds.lowerBound + 7), "http://") { return 7 }
        if bounds.count > 8, matches(span, HeadRange(bounds.lowerBound, bounds.lowerBound + 8), "https://") { return 8 }
        return 0
    }

    /// Host names and addresses with an optional port; nil for anything else. The result is without the port.
    private static func host(_ span: Span<UInt8>, _ bounds: Range<Int>) -> HeadRange? {
        var end = bounds.lowerBound
        if end < bounds.upperBound, span[end] == 0x5B {
            while end < bounds.upperBound, span[end] != 0x5D {
                guard ByteRules.isHost(span[end]), end == bounds.lowerBound || span[end] != 0x5B else { return nil }
                end += 1
            }
            guard end < bounds.upperBound else { return nil }
            end += 1
        } else {
            while end < bounds.upperBound, span[end] != ByteRules.colon {
                guard ByteRules.isHost(span[end]), span[end] != 0x5B, span[end] != 0x5D else { return nil }
                end += 1
            }
        }
        guard end == bounds.upperBound || span[end] == ByteRules.colon, bounds.upperBound - end <= 6 else { return nil }
        for at in min(end + 1, bounds.upperBound)..<bounds.upperBound where !ByteRules.isDigit(span[at]) { return nil }
        return HeadRange(bounds.lowerBound, end)
    }

    mutating func apply(_ known: KnownFields, _ limits: HTTPLimits) throws(RequestRefusal) {
        guard known.hosts <= 1 else { throw .badRequest("There is more than one Host field.") }
        guard known.hosts == 1 || !isVersion11 else { throw .badRequest("An HTTP/1.1 request must have a Host field.") }
        guard let host = Self.host(fields.bytes.span, known.host.bounds) else {
            throw .badRequest("The Host field must be a host name or address with an optional port.")
        }
        // An absolute target replaces the field (RFC 9112, section 3.2.2).
        if self.host.count == 0 { self.host = host }

        if known.saysClose { keepsAlive = false } else if known.saysKeepAlive { keepsAlive = true }
        try applyFraming(known, limits)
        if known.expectations > 0, isVersion11 {
            guard known.expectations == 1, known.expectsContinue else {
                throw RequestRefusal(.expectationFailed, "The only expectation this server can meet is 100-continue.")
            }
            expectsContinue = framing != .none
        }
    }

    private mutating func applyFraming(_ known: KnownFields, _ limits: HTTPLimits) throws(RequestRefusal) {
        guard known.transferEncodings == 0 || known.contentLengths == 0 else {
            throw .badRequest("A request may have Content-Length or Transfer-Encoding, not both.")
        }
        // Even equal ones: whoever sends them has been tampered with or is broken (RFC 9110, section 8.6).
        guard known.contentLengths <= 1 else { throw .badRequest("There is more than one Content-Length field.") }
        if known.transferEncodings > 0 {
            guard isVersion11 else { throw .badRequest("HTTP/1.0 has no Transfer-Encoding.") }
            guard known.transferEncodings == 1, known.isChunked else {
                throw RequestRefusal(.notImplemented, "The only transfer coding this server knows is chunked.")
            }
            framing = .chunked
        } else if known.contentLength > 0 {
            guard known.contentLength <= limits.maximumBody else { throw .bodyTooLong(limits) }
            framing = .length(known.contentLength)
        }
    }
}
