// Commands: order, arguments, answers. ETRN has a file of its own.

extension SMTPSession {
    /// Carries out one command line, given without its end.
    mutating func perform(_ line: [UInt8]) {
        guard !line.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
            return fail(SMTPReply(500, "5.5.2", "Control character in the command"), to: .other)
        }
        let (verb, end) = SMTPVerb.read(from: line[...])
        var arguments = line[end...].drop { $0 == UInt8(ascii: " ") }
        while arguments.last == UInt8(ascii: " ") { arguments.removeLast() }

        if verb != .rcpt { commands += 1 }
        guard commands <= limits.maximumCommands || verb == .quit else {
            return finish(with: SMTPReply(421, "4.7.0", "\(hostname) Too many commands without a message, closing connection"))
        }
        do {
            try dispatch(verb, arguments)
        } catch {
            fail(error, to: verb)
        }
    }

    private mutating func dispatch(_ verb: SMTPVerb, _ arguments: ArraySlice<UInt8>) throws(SMTPReply) {
        switch verb {
        case .helo, .ehlo: try greet(verb, arguments)
        case .mail: try mail(arguments)
        case .rcpt: try recipient(arguments)
        case .data: data(arguments)
        case .rset:
            try refuse(arguments, of: "RSET")
            transaction = nil
            reply(SMTPReply(250, "2.0.0", "OK"), to: verb)
        case .noop: reply(SMTPReply(250, "2.0.0", "OK"), to: verb)
        case .vrfy:
            guard offer.contains(.mail) else { throw SMTPReply(502, "5.5.1", "VRFY not implemented") }
            guard !arguments.isEmpty else { throw SMTPReply(501, "5.5.4", "Syntax: VRFY address") }
            reply(SMTPReply(252, "2.0.0", "Cannot verify, but will take mail and try to deliver it"), to: verb)
        case .help: reply(SMTPReply(214, "2.0.0", "Commands: \(commandNames)"), to: verb)
        case .quit:
            try refuse(arguments, of: "QUIT")
            reply(SMTPReply(221, "2.0.0", "\(hostname) closing connection"), to: verb)
            end(abandoning: false)
        case .bdat:
            // Its content would follow unasked and be read as commands.
            reply(SMTPReply(502, "5.5.1", "BDAT is not offered; closing connection"), to: verb)
            end(abandoning: false)
        case .foreign:
            // A web page that makes a browser talk to us must not get a second line in.
            reply(SMTPReply(500, "5.5.2", "This is SMTP; closing connection"), to: verb)
            end(abandoning: false)
        case .etrn: try etrn(arguments)
        case .expn, .starttls, .auth, .turn, .send, .soml, .saml:
            throw SMTPReply(502, "5.5.1", "\(verb.rawValue.uppercased()) not implemented")
        case .other, .greeting, .content, .session:
            throw SMTPReply(500, "5.5.2", "Command not recognized")
        }
    }

    private var commandNames: String {
        let mail = offer.contains(.mail) ? " MAIL RCPT DATA RSET NOOP VRFY" : " RSET NOOP"
        return "HELO EHLO\(mail)\(offer.contains(.etrn) ? " ETRN" : "") HELP QUIT"
    }

    /// What EHLO lists. ETRN is there for every client, also for one that may not ask: its 459 says why, where a missing keyword would
    /// say that the server has no such command.
    private var keywords: [String] {
        var keywords = ["PIPELINING"]
        if offer.contains(.mail) { keywords += ["SIZE \(limits.maximumMessageSize)", "8BITMIME"] }
        if offer.contains(.etrn) { keywords.append("ETRN") }
        return keywords + ["ENHANCEDSTATUSCODES"]
    }

    private func refuse(_ arguments: ArraySlice<UInt8>, of command: String) throws(SMTPReply) {
        guard arguments.isEmpty else { throw SMTPReply(501, "5.5.4", "\(command) takes no argument") }
    }

    private mutating func greet(_ verb: SMTPVerb, _ arguments: ArraySlice<UInt8>) throws(SMTPReply) {
        let name = try SMTPArguments.hello(arguments, verb: verb)
        // RFC 5321, section 4.1.4: EHLO in mid-session is a RSET.
        transaction = nil
        if verb == .helo {
            hello = (name, "SMTP")
            reply(SMTPReply(250, nil, hostname), to: verb)
        } else {
            hello = (name, "ESMTP")
            reply(SMTPReply(code: 250, enhanced: nil, lines: [hostname] + keywords), to: verb)
        }
    }

    private mutating func mail(_ bytes: ArraySlice<UInt8>) throws(SMTPReply) {
        guard offer.contains(.mail) else { throw SMTPReply(502, "5.5.1", "This server takes no mail") }
        guard hello != nil else { throw SMTPReply(503, "5.5.1", "Say HELO or EHLO first") }
        guard transaction == nil else { throw SMTPReply(503, "5.5.1", "A MAIL command has been given already") }
        let arguments = try SMTPArguments.mail(bytes)
        if let size = arguments.declaredSize, size > limits.maximumMessageSize { throw tooLarge }
        ask(.sender(arguments), .checkSender(arguments.sender, declaredSize: arguments.declaredSize))
    }

    private mutating func recipient(_ bytes: ArraySlice<UInt8>) throws(SMTPReply) {
        guard var transaction else { throw SMTPReply(503, "5.5.1", "Give a MAIL command first") }
        transaction.recipientCommands += 1
        self.transaction = transaction
        let excess = transaction.recipientCommands > limits.maximumRecipients * Self.recipientPatience
        guard !excess else { return finish(with: SMTPReply(421, "4.7.0", "\(hostname) Too many recipients, closing connection")) }
        let path = try SMTPArguments.recipient(bytes)
        guard transaction.envelope.recipients.count < limits.maximumRecipients else {
            throw SMTPReply(452, "4.5.3", "Too many recipients: at most \(limits.maximumRecipients) in a message")
        }
        ask(.recipient(path), .checkRecipient(path))
    }

    /// RCPT commands in a transaction, as a multiple of the recipients that it may have.
    private static let recipientPatience = 10

    private mutating func data(_ arguments: ArraySlice<UInt8>) {
        if !arguments.isEmpty {
            refuseData(SMTPReply(501, "5.5.4", "DATA takes no argument"))
        } else if let transaction, !transaction.envelope.recipients.isEmpty {
            ask(.begin, .begin(transaction.envelope))
        } else if transaction != nil {
            refuseData(SMTPReply(554, "5.5.1", "No valid recipients"))
        } else {
            refuseData(SMTPReply(503, "5.5.1", "Give MAIL and RCPT commands first"))
        }
    }

    /// DATA ends a group of commands (RFC 2920, section 3.1). What stands behind a refused one can only be content that nobody
    /// asked for, and content must never be read as commands.
    mutating func refuseData(_ refusal: SMTPReply) {
        guard input.isEmpty else {
            reply(refusal, to: .data)
            return finish(with: SMTPReply(421, "4.7.0", "\(hostname) Input after a refused DATA, closing connection"))
        }
        fail(refusal, to: .data)
    }

    var tooLarge: SMTPReply {
        SMTPReply(552, "5.3.4", "Message too large: at most \(limits.maximumMessageSize) bytes")
    }
}
