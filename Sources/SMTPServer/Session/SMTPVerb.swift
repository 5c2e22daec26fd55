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
        guard end - line.startIndex <= longestWord else { return (.other, end) }
        let word = String(decoding: line[..<end], as: UTF8.self).lowercased()
        return (words[word] ?? .other, end)
    }

    private static let longestWord = 8
    private static let words: [String: SMTPVerb] = {
        var words: [String: SMTPVerb] = [:]
        for verb in allCases where ![.foreign, .other, .greeting, .content, .session].contains(verb) { words[verb.rawValue] = verb }
        for method in ["get", "head", "post", "put", "delete", "options", "connect", "trace", "patch"] { words[method] = .foreign }
        return words
    }()
}
