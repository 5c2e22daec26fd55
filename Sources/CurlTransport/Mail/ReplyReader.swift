// SMTP replies out of the bytes of a connection (RFC 5321, section 4.2).

/// Collects reply lines until a reply is whole.
struct ReplyReader {
    /// RFC 5321, section 4.5.3.1.5, allows 512 bytes. What is longer is cut.
    static let maximumLineLength = 1_024
    /// An EHLO answer has some twenty lines; a server that never comes to an end must not fill memory.
    static let maximumLines = 128
    static let maximumReplyLength = 64 * 1024

    struct Reply: Equatable {
        var code: Int
        var lines: [String]
    }

    struct Malformed: Error, Equatable {}

    private var line: [UInt8] = []
    private var lines: [String] = []
    private var taken = 0

    /// Whether nothing of a reply has been read yet.
    var isEmpty: Bool { line.isEmpty && lines.isEmpty }

    /// Takes one byte; returns a reply when it ends one.
    mutating func take(_ byte: UInt8) throws(Malformed) -> Reply? {
        taken += 1
        guard taken <= Self.maximumReplyLength else { throw Malformed() }
        guard byte == UInt8(ascii: "\n") else {
            if line.count <= Self.maximumLineLength { line.append(byte) }
            return nil
        }
        return try endLine()
    }

    private mutating func endLine() throws(Malformed) -> Reply? {
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        let digits = line.prefix(3)
        guard digits.count == 3, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            (UInt8(ascii: "2")...UInt8(ascii: "5")).contains(line[0])
        else { throw Malformed() }
        let isFinal: Bool
        switch line.dropFirst(3).first {
        case nil, UInt8(ascii: " "): isFinal = true
        case UInt8(ascii: "-"): isFinal = false
        default: throw Malformed()
        }
        lines.append(String(decoding: line.prefix(Self.maximumLineLength), as: UTF8.self))
        guard isFinal else {
            guard lines.count < Self.maximumLines else { throw Malformed() }
            line.removeAll(keepingCapacity: true)
            return nil
        }
        // The last line's code counts, as other clients have it.
        let reply = Reply(code: digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }, lines: lines)
        self = ReplyReader()
        return reply
    }
}
