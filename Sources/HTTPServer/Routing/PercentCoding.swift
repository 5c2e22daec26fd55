// Percent-encoding of paths and queries (RFC 3986, section 2.1), decoded strictly.

enum PercentCoding {
    /// What decoding a piece came to.
    enum Outcome: Equatable {
        case text(String)
        case fault(String)
    }

    enum Place {
        /// A path segment: an encoded slash or NUL is refused, because it would mean another path to somebody further on.
        case pathSegment
        /// A name or value of a query: + is a space, as HTML forms and curl write it.
        case query
    }

    static func decode(_ raw: Substring, in place: Place) -> Outcome {
        let isPlain = !raw.utf8.contains { $0 == 0x25 || ($0 == 0x2B && place == .query) }
        if isPlain { return .text(String(raw)) }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(raw.utf8.count)
        var bytes = raw.utf8.makeIterator()
        while let byte = bytes.next() {
            if byte == 0x25 {
                guard let high = bytes.next().flatMap(ByteRules.hexadecimal), let low = bytes.next().flatMap(ByteRules.hexadecimal)
                else { return .fault("a % must be followed by two hexadecimal digits") }
                let value = high << 4 | low
                if place == .pathSegment, value == 0x2F || value == 0 {
                    return .fault("an encoded slash or NUL may not stand in a path")
                }
                decoded.append(value)
            } else {
                decoded.append(byte == 0x2B && place == .query ? ByteRules.space : byte)
            }
        }
        guard let text = String(validating: decoded, as: UTF8.self) else { return .fault("what is percent-encoded must be UTF-8") }
        return .text(text)
    }
}
