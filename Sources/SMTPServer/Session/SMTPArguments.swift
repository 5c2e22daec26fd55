// What follows the command word: pure readers that either understand it or say what is wrong.

/// What MAIL said (RFC 5321, section 4.1.1.2; RFC 1870; RFC 6152).
struct MailArguments: Equatable {
    var sender: SMTPPath
    /// Nil without `SIZE=`; `Int.max` for a number too large to hold.
    var declaredSize: Int?
    var body = SMTPEnvelope.Body.sevenBit
}

/// Readers of arguments. They take the bytes after the command word and its space, trailing spaces cut off.
enum SMTPArguments {
    static func mail(_ bytes: ArraySlice<UInt8>) throws(SMTPReply) -> MailArguments {
        let (sender, parameters) = try path(after: "FROM:", in: bytes, syntax: "MAIL FROM:<address>", of: "sender", code: "5.1.7")
        guard sender.isNull || sender.domain != nil else {
            throw SMTPReply(501, "5.1.7", "Bad sender address: the domain is missing")
        }
        var arguments = MailArguments(sender: sender)
        var hasBody = false
        for parameter in parameters {
            switch parameter.keyword {
            case "SIZE" where arguments.declaredSize == nil:
                arguments.declaredSize = try size(parameter.value)
            case "BODY" where !hasBody:
                hasBody = true
                arguments.body = try body(parameter.value)
            case "SIZE", "BODY":
                throw SMTPReply(501, "5.5.4", "Parameter \(parameter.keyword) given twice")
            default:
                throw unknown(parameter)
            }
        }
        return arguments
    }

    static func recipient(_ bytes: ArraySlice<UInt8>) throws(SMTPReply) -> SMTPPath {
        let (recipient, parameters) = try path(after: "TO:", in: bytes, syntax: "RCPT TO:<address>", of: "recipient", code: "5.1.3")
        guard !recipient.isNull else { throw SMTPReply(501, "5.1.3", "Bad recipient address: it is empty") }
        guard recipient.domain != nil || recipient.mailbox.lowercased() == "postmaster" else {
            throw SMTPReply(501, "5.1.3", "Bad recipient address: the domain is missing")
        }
        if let parameter = parameters.first { throw unknown(parameter) }
        return recipient
    }

    /// The name a client gives itself. Many are no domain names; only what could do harm in a header is refused.
    static func hello(_ bytes: ArraySlice<UInt8>, verb: SMTPVerb) throws(SMTPReply) -> String {
        guard !bytes.isEmpty else { throw SMTPReply(501, "5.5.4", "Syntax: \(verb.rawValue.uppercased()) hostname") }
        guard bytes.count <= SMTPPath.maximumDomain else { throw SMTPReply(501, "5.5.4", "Host name too long") }
        for byte in bytes where !isHelloByte(byte) { throw SMTPReply(501, "5.5.4", "Bad character in host name") }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isHelloByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"): true
        default: false
        }
    }

    // MARK: Parameters

    private struct Parameter {
        var keyword: String
        var value: ArraySlice<UInt8>?
    }

    private static func path(
        after keyword: String, in bytes: ArraySlice<UInt8>, syntax: String, of role: String, code: String
    ) throws(SMTPReply) -> (SMTPPath, [Parameter]) {
        let head = String(decoding: bytes.prefix(keyword.utf8.count), as: UTF8.self).uppercased()
        guard head == keyword else { throw SMTPReply(501, "5.5.4", "Syntax: \(syntax)") }
        // No space belongs here, but widely used clients send one.
        var scanner = PathScanner(bytes.dropFirst(keyword.utf8.count).drop { $0 == UInt8(ascii: " ") })
        let path: SMTPPath
        do {
            path = try scanner.bracketedPath()
        } catch {
            guard !error.isInternational else {
                throw SMTPReply(553, "5.6.7", "Bad \(role) address: \(error.text), and SMTPUTF8 is not offered")
            }
            throw SMTPReply(501, code, "Bad \(role) address: \(error.text)")
        }
        guard scanner.isAtEnd || scanner.rest.first == UInt8(ascii: " ") else {
            throw SMTPReply(501, "5.5.4", "Text after the \(role) address; syntax: \(syntax)")
        }
        return (path, try parameters(scanner.rest))
    }

    private static func parameters(_ bytes: ArraySlice<UInt8>) throws(SMTPReply) -> [Parameter] {
        var found: [Parameter] = []
        for word in bytes.split(separator: UInt8(ascii: " ")) {
            let keyword = word.prefix { $0 != UInt8(ascii: "=") }
            guard !keyword.isEmpty else { throw SMTPReply(501, "5.5.4", "Parameter without a name") }
            let value = keyword.endIndex < word.endIndex ? word[(keyword.endIndex + 1)...] : nil
            found.append(Parameter(keyword: String(decoding: keyword, as: UTF8.self).uppercased(), value: value))
        }
        return found
    }

    /// RFC 1870, section 6: one to twenty digits.
    private static func size(_ value: ArraySlice<UInt8>?) throws(SMTPReply) -> Int {
        guard let value, (1...20).contains(value.count), value.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw SMTPReply(501, "5.5.4", "Bad SIZE parameter: not a number of bytes")
        }
        return Int(String(decoding: value, as: UTF8.self)) ?? .max
    }

    private static func body(_ value: ArraySlice<UInt8>?) throws(SMTPReply) -> SMTPEnvelope.Body {
        guard let value, !value.isEmpty else { throw SMTPReply(501, "5.5.4", "Bad BODY parameter: no value") }
        guard let body = SMTPEnvelope.Body(rawValue: String(decoding: value, as: UTF8.self).uppercased()) else {
            throw SMTPReply(555, "5.5.4", "BODY is neither 7BIT nor 8BITMIME")
        }
        return body
    }

    /// RFC 5321, section 4.1.1.11.
    private static func unknown(_ parameter: Parameter) -> SMTPReply {
        SMTPReply(555, "5.5.4", "Parameter \(parameter.keyword.prefix(32)) not recognized")
    }
}
