// A destination: the part right of an address's last `@`.

import CIDN2

/// A domain name in the form in which everything inside compares it: A-labels, lower case, no trailing dot.
///
/// Checked as Postfix's `valid_hostname` does: labels of 1 to 63 letters, digits, hyphens (not at either end) and underscores,
/// 253 bytes together, not all digits and dots.
public struct DomainName: Hashable, Comparable, Sendable, CustomStringConvertible {
    public static let maximumLength = 253
    public static let maximumLabelLength = 63

    /// The A-label form.
    public let description: String

    /// Nil when `text` is no domain name.
    public init?(_ text: some StringProtocol) {
        guard let name = try? DomainName(parsing: text) else { return nil }
        self = name
    }

    /// Checks and lower-cases a name; U-labels become A-labels (UTS #46, non-transitional).
    public init(parsing text: some StringProtocol) throws(InvalidDomainName) {
        let text = String(text)
        guard !text.isEmpty else { throw .empty }
        // Four bytes of UTF-8 never become less than one byte of an A-label: what is longer than this cannot fit.
        guard text.utf8.count <= 4 * Self.maximumLength else { throw .tooLong }
        let ascii = try Self.asciiForm(of: text)
        try Self.check(ascii)
        description = ascii
    }

    /// The U-label form for people; the A-label form where it has no other.
    public var unicode: String {
        guard hasEncodedLabel else { return description }
        var output: UnsafeMutablePointer<CChar>?
        guard idn2_to_unicode_8z8z(description, &output, 0) == IDN2_OK.rawValue, let output else { return description }
        defer { idn2_free(output) }
        // libidn2 decodes any Punycode, that of control characters too: only what means this very name is shown for it.
        let name = String(cString: output)
        return DomainName(name) == self ? name : description
    }

    /// Whether a label begins with `xn--`. Asked for each name of a page, where a search by characters would be half the work.
    private var hasEncodedLabel: Bool {
        let prefix = [UInt8(ascii: "x"), UInt8(ascii: "n"), UInt8(ascii: "-"), UInt8(ascii: "-")]
        // How much of the prefix the label has; nil once it has something else.
        var matched: Int? = 0
        for byte in description.utf8 {
            if byte == UInt8(ascii: ".") {
                matched = 0
            } else if let count = matched {
                matched = byte == prefix[count] ? count + 1 : nil
                if matched == prefix.count { return true }
            }
        }
        return false
    }

    /// Whether this name lies below `parent`, on a label boundary; a name does not lie below itself.
    public func isSubdomain(of parent: DomainName) -> Bool {
        let own = description.utf8
        let other = parent.description.utf8
        return own.count > other.count + 1 && own.reversed().starts(with: other.reversed())
            && own.dropLast(other.count).last == UInt8(ascii: ".")
    }

    /// The name without its first label; nil for a single label.
    public var parent: DomainName? {
        guard let dot = description.utf8.firstIndex(of: UInt8(ascii: ".")) else { return nil }
        let rest = description[description.utf8.index(after: dot)...]
        // Of what was checked, this alone is about the name as a whole.
        guard rest.utf8.contains(where: Self.isNoDigitOrDot) else { return nil }
        return DomainName(checked: String(rest))
    }

    private init(checked name: String) { description = name }

    private static func isNoDigitOrDot(_ byte: UInt8) -> Bool {
        byte != UInt8(ascii: ".") && !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    public static func < (a: DomainName, b: DomainName) -> Bool { a.description < b.description }

    private static func asciiForm(of text: String) throws(InvalidDomainName) -> String {
        let isASCII = text.utf8.allSatisfy { $0 < 0x80 }
        guard !isASCII else { return text.utf8.contains { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) } ? text.lowercased() : text }
        // A C string would end there, and what follows be accepted unseen.
        guard !text.utf8.contains(0) else { throw .character("\0") }
        var output: UnsafeMutablePointer<CChar>?
        let flags = CInt(IDN2_NONTRANSITIONAL.rawValue)
        let result = idn2_to_ascii_8z(text, &output, flags)
        guard result == IDN2_OK.rawValue, let output else {
            throw .notInternational(String(cString: idn2_strerror(result)))
        }
        defer { idn2_free(output) }
        return String(cString: output).lowercased()
    }

    private static func check(_ name: String) throws(InvalidDomainName) {
        guard name.utf8.count <= maximumLength else { throw .tooLong }
        var labelLength = 0
        var previous: UInt8 = 0
        var hasLetter = false
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "."):
                guard labelLength > 0 else { throw .emptyLabel }
                guard previous != UInt8(ascii: "-") else { throw .hyphenAtEnd }
                labelLength = 0
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                if byte == UInt8(ascii: "-"), labelLength == 0 { throw .hyphenAtEnd }
                hasLetter = hasLetter || isNoDigitOrDot(byte)
                labelLength += 1
                guard labelLength <= maximumLabelLength else { throw .labelTooLong }
            default: throw .character(Unicode.Scalar(byte))
            }
            previous = byte
        }
        guard labelLength > 0 else { throw .emptyLabel }
        guard previous != UInt8(ascii: "-") else { throw .hyphenAtEnd }
        guard hasLetter else { throw .numeric }
    }
}

/// Why a text is no domain name.
public enum InvalidDomainName: Error, Equatable, Sendable, CustomStringConvertible {
    case empty
    case tooLong
    case emptyLabel
    case labelTooLong
    case hyphenAtEnd
    case numeric
    case character(Unicode.Scalar)
    case notInternational(String)

    public var description: String {
        switch self {
        case .empty: "the domain name is empty"
        case .tooLong: "the domain name is longer than \(DomainName.maximumLength) bytes"
        case .emptyLabel: "the domain name has an empty label (a leading, doubled or trailing dot)"
        case .labelTooLong: "the domain name has a label longer than \(DomainName.maximumLabelLength) bytes"
        case .hyphenAtEnd: "the domain name has a label that begins or ends with a hyphen"
        case .numeric: "the domain name is all digits; an address is not a domain"
        case .character(let scalar): "the domain name has a character that is not allowed: \(scalar.escaped(asASCII: true))"
        case .notInternational(let detail): "the domain name is not valid as an internationalized one: \(detail)"
        }
    }
}
