// Reads a path off the bytes of a command line and says what is wrong with one that is none.

/// Why a path cannot be read. The text completes a sentence such as "Bad sender address: …".
struct PathError: Error, Equatable {
    var text: String
    /// The address holds bytes above 127, which would need SMTPUTF8 (RFC 6531).
    var isInternational = false
}

/// A cursor over the bytes of one path: an optional source route, a local part, a domain.
struct PathScanner {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    /// Reads `<…>` (RFC 5321: Reverse-path, Forward-path) and leaves the cursor behind the closing bracket.
    mutating func bracketedPath() throws(PathError) -> SMTPPath {
        guard take("<") else { throw PathError(text: "the address must stand in angle brackets") }
        if take(">") { return .null }
        let path = try path()
        guard take(">") else { throw unexpected(in: "the address", orMissing: "the closing angle bracket") }
        return path
    }

    /// Reads a mailbox with its source route, if any. Stops at the first byte that cannot belong to it.
    mutating func path() throws(PathError) -> SMTPPath {
        try skipSourceRoute()
        let start = rest.startIndex
        let whole = rest
        try localPart()
        let localLength = rest.startIndex - start
        guard localLength <= SMTPPath.maximumLocalPart else { throw PathError(text: "the local part is too long") }
        if take("@") {
            let domainStart = rest.startIndex
            try domain()
            guard rest.startIndex - domainStart <= SMTPPath.maximumDomain else { throw PathError(text: "the domain is too long") }
        }
        return SMTPPath(checkedMailbox: String(decoding: whole[start..<rest.startIndex], as: UTF8.self), localLength: localLength)
    }

    /// `@a,@b:` before the mailbox: accepted and ignored (RFC 5321, appendix C).
    private mutating func skipSourceRoute() throws(PathError) {
        guard rest.first == UInt8(ascii: "@") else { return }
        repeat {
            guard take("@") else { throw PathError(text: "the source route is malformed") }
            try domain()
        } while take(",")
        guard take(":") else { throw PathError(text: "the source route does not end with a colon") }
    }

    private mutating func localPart() throws(PathError) {
        if take("\"") { return try quotedLocalPart() }
        let start = rest.startIndex
        // Dots in odd places are no RFC 5321 atoms, but such addresses exist; a holding relay must not lose their mail.
        while let byte = rest.first, Self.isAtomText(byte) || byte == UInt8(ascii: ".") { rest.removeFirst() }
        guard rest.startIndex > start else { throw unexpected(in: "the local part", orMissing: "the local part") }
    }

    private mutating func quotedLocalPart() throws(PathError) {
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""):
                return
            case UInt8(ascii: "\\"):
                guard let quoted = rest.popFirst(), (0x20...0x7e).contains(quoted) else {
                    throw PathError(text: "a backslash in the quoted local part quotes nothing")
                }
            case 0x20...0x7e:
                continue
            default:
                throw Self.unexpected(byte, in: "the quoted local part")
            }
        }
        throw PathError(text: "the quoted local part does not end")
    }

    private mutating func domain() throws(PathError) {
        if take("[") { return try literal() }
        repeat {
            let start = rest.startIndex
            // Underscores are no host names, but name mail domains all the same.
            while let byte = rest.first, Self.isLetterOrDigit(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") {
                rest.removeFirst()
            }
            let length = rest.startIndex - start
            guard length > 0 else { throw unexpected(in: "the domain", orMissing: "a label of the domain") }
            guard length <= Self.maximumLabel else { throw PathError(text: "a label of the domain is too long") }
        } while take(".")
    }

    /// `[192.0.2.1]`, `[IPv6:…]`, `[tag:…]` (RFC 5321, section 4.1.3): only that it ends, not what it means.
    private mutating func literal() throws(PathError) {
        let start = rest.startIndex
        while let byte = rest.first, (0x21...0x5a).contains(byte) || (0x5e...0x7e).contains(byte), byte != UInt8(ascii: ">") {
            rest.removeFirst()
        }
        guard rest.startIndex > start else { throw unexpected(in: "the address literal", orMissing: "the address literal") }
        guard take("]") else { throw unexpected(in: "the address literal", orMissing: "the closing bracket of the address literal") }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    private func unexpected(in place: String, orMissing part: String) -> PathError {
        guard let byte = rest.first, byte != UInt8(ascii: ">"), byte != UInt8(ascii: "@") else {
            return PathError(text: "\(part) is missing")
        }
        return Self.unexpected(byte, in: place)
    }

    private static func unexpected(_ byte: UInt8, in place: String) -> PathError {
        switch byte {
        case 0x80...: PathError(text: "\(place) is not ASCII", isInternational: true)
        case UInt8(ascii: " "): PathError(text: "space in \(place)")
        case 0x21...0x7e: PathError(text: "'\(Unicode.Scalar(byte))' in \(place)")
        default: PathError(text: "control character in \(place)")
        }
    }

    /// Longest label of a domain name (RFC 1035, section 2.3.4).
    private static let maximumLabel = 63

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: false
        }
    }

    /// `atext` of RFC 5322, section 3.2.3.
    private static func isAtomText(_ byte: UInt8) -> Bool {
        isLetterOrDigit(byte) || atomMarks.contains(byte)
    }

    private static let atomMarks = Array("!#$%&'*+-/=?^_`{|}~".utf8)
}
