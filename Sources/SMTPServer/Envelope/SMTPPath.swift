// The address of a sender or a recipient, as SMTP writes it.

/// A path (RFC 5321, section 4.1.2) whose syntax has been checked; source routes are gone, nothing else is changed.
public struct SMTPPath: Sendable, Hashable, CustomStringConvertible {
    /// The mailbox as given, without angle brackets and source route. Printable ASCII, at most `maximumLength` bytes.
    /// Empty for the null path, and without `@` for `<postmaster>`.
    public let mailbox: String
    private let localLength: Int

    /// `<>`, the sender of reports.
    public static let null = SMTPPath(checkedMailbox: "", localLength: 0)

    public var isNull: Bool { mailbox.isEmpty }
    /// Left of the last `@`, quotes and backslashes kept.
    public var localPart: Substring { mailbox.prefix(localLength) }
    /// Right of the last `@`: a name as given, or a literal with its brackets; nil for the null path and `<postmaster>`.
    public var domain: Substring? { localLength < mailbox.utf8.count ? mailbox.dropFirst(localLength + 1) : nil }
    /// The domain is an address literal such as `[192.0.2.1]`.
    public var hasLiteral: Bool { domain?.utf8.first == UInt8(ascii: "[") }
    /// With the angle brackets.
    public var description: String { "<\(mailbox)>" }

    /// Longest local part. RFC 5321, section 4.5.3.1.1, asks for 64 at least; rewritten senders (VERP, SRS) are longer.
    public static let maximumLocalPart = 255
    /// Longest domain (RFC 5321, section 4.5.3.1.2).
    public static let maximumDomain = 255
    public static let maximumLength = maximumLocalPart + 1 + maximumDomain

    /// Reads a mailbox, with or without angle brackets; the empty text is the null path. Nil when the syntax is wrong.
    public init?(_ text: String) {
        var bytes = Array(text.utf8)[...]
        if bytes.first == UInt8(ascii: "<") {
            guard bytes.last == UInt8(ascii: ">") else { return nil }
            bytes = bytes.dropFirst().dropLast()
        }
        if bytes.isEmpty {
            self = .null
            return
        }
        var scanner = PathScanner(bytes)
        guard let path = try? scanner.path(), scanner.isAtEnd else { return nil }
        self = path
    }

    /// For the scanner, which has checked the text: ASCII, the local part followed by nothing or by `@` and a domain.
    init(checkedMailbox: String, localLength: Int) {
        mailbox = checkedMailbox
        self.localLength = localLength
    }
}
