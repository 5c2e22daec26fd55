// One reply of the SMTP server: a code, an enhanced code, and lines that can be sent as they are.

/// A reply (RFC 5321, section 4.2), also thrown where a command is refused.
///
/// The text may come from anywhere: rendering replaces whatever is not printable ASCII and cuts what is too long, so no
/// text can forge a second reply.
public struct SMTPReply: Error, Sendable, Equatable {
    /// 200 to 599.
    public let code: Int
    /// An enhanced status code such as `4.7.1` (RFC 2034), repeated on every line; nil for greetings, EHLO answers and 3yz.
    public let enhanced: String?
    /// The text, a reply line each. Empty means one line without text.
    public let lines: [String]

    /// - Precondition: `code` is within 200...599.
    public init(code: Int, enhanced: String?, lines: [String]) {
        precondition((200...599).contains(code), "an SMTP reply code has three digits, 2yz to 5yz")
        self.code = code
        self.enhanced = enhanced
        self.lines = lines
    }

    /// A reply of one line.
    public init(_ code: Int, _ enhanced: String? = nil, _ text: String) {
        self.init(code: code, enhanced: enhanced, lines: [text])
    }

    /// The command was carried out, or the client shall go on.
    public var isPositive: Bool { code < 400 }
    /// Asking again later may work.
    public var isTransient: Bool { (400..<500).contains(code) }
    /// Asking again the same way will not work.
    public var isPermanent: Bool { code >= 500 }

    /// The longest reply line, line end included (RFC 5321, section 4.5.3.1.5).
    static let maximumLine = 512
    /// The most lines of one reply; further ones are left out.
    static let maximumLines = 64
    /// Code, enhanced code and line end: a guess that saves most replies a second allocation.
    private static let roomBesideText = 16

    /// The reply as it goes over the wire, every line ended with CRLF.
    public var rendered: [UInt8] {
        var bytes: [UInt8] = []
        let count = min(lines.count, Self.maximumLines)
        bytes.reserveCapacity(max(count, 1) * (min(lines.first?.utf8.count ?? 0, Self.maximumLine) + Self.roomBesideText))
        for text in lines.prefix(max(count - 1, 0)) { append(text, separator: UInt8(ascii: "-"), to: &bytes) }
        append(count > 0 ? lines[count - 1] : "", separator: UInt8(ascii: " "), to: &bytes)
        return bytes
    }

    private func append(_ text: String, separator: UInt8, to bytes: inout [UInt8]) {
        let start = bytes.count
        bytes.append(UInt8(ascii: "0") + UInt8(code / 100))
        bytes.append(UInt8(ascii: "0") + UInt8(code / 10 % 10))
        bytes.append(UInt8(ascii: "0") + UInt8(code % 10))
        if separator == UInt8(ascii: "-") || enhanced != nil || !text.isEmpty { bytes.append(separator) }
        if let enhanced {
            bytes.append(contentsOf: enhanced.utf8)
            if !text.isEmpty { bytes.append(UInt8(ascii: " ")) }
        }
        bytes.append(contentsOf: text.utf8)
        let excess = bytes.count - start - (Self.maximumLine - 2)
        if excess > 0 { bytes.removeLast(excess) }
        for index in start..<bytes.count where !(0x20...0x7e).contains(bytes[index]) { bytes[index] = UInt8(ascii: "?") }
        bytes.append(UInt8(ascii: "\r"))
        bytes.append(UInt8(ascii: "\n"))
    }
}
