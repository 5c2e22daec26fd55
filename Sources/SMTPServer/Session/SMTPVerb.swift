// The commands that have a name here; everything else a client says is `other`.

/// What a reply answers. The raw value is a word for logs and metrics, never text of the client's.
public enum SMTPVerb: String, Sendable, CaseIterable {
    case helo, ehlo, mail, rcpt, data, rset, noop, vrfy, expn, help, quit, etrn, starttls, auth, bdat, turn, send, soml, saml
    /// A request of another protocol, HTTP above all: somebody's browser or proxy was sent here.
    case foreign
    /// A word that is no command.
    case other
    /// No command at all: the reply greets, answers the content, or ends the session.
    case greeting, content, session

    /// Reads the command word, in any case; the rest of the line begins at `end`.
    static func read(from line: ArraySlice<UInt8>) -> (verb: SMTPVerb, end: Int) {
        let end = line.firstIndex(of: UInt8(ascii: " ")) ?? line.endIndex
        guard let word = packed(line[..<end]) else { return (.other, end) }
        return (words.first { $0.word == word }?.verb ?? .other, end)
    }

    /// The bytes of a word in lower case, as a number: it is compared with every word of the table. Nil for more than eight bytes.
    private static func packed(_ word: some Collection<UInt8>) -> UInt64? {
        guard word.count <= 8 else { return nil }
        return word.reduce(0) { packed, byte in
            packed << 8 | UInt64((UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte)
        }
    }

    private static let words: [(word: UInt64?, verb: SMTPVerb)] =
        allCases.filter { ![.foreign, .other, .greeting, .content, .session].contains($0) }.map { (packed($0.rawValue.utf8), $0) }
        + ["get", "head", "post", "put", "delete", "options", "connect", "trace", "patch"].map { (packed($0.utf8), .foreign) }
}
