// Answers of the intake, and the content between 354 and its end.

extension SMTPSession {
    // MARK: Answers

    /// Resumes after `checkSender`, `checkRecipient`, `begin` or `append`.
    ///
    /// - Parameter refusal: nil when it went well. A reply that refuses with a positive code is an intake's mistake and becomes a 451.
    mutating func answered(_ refusal: SMTPReply?) {
        guard case .asking(let question) = phase else { return }
        let refusal = refusal.map { $0.isPositive ? Self.confused : $0 }
        phase = .command
        switch question {
        case .sender(let arguments): senderAnswered(arguments, refusal)
        case .recipient(let path): recipientAnswered(path, refusal)
        case .etrn: fail(refusal ?? Self.confused, to: .etrn)
        case .begin: beginAnswered(refusal)
        case .append(let isLast): appendAnswered(refusal, isLast: isLast)
        case .commit: committed(refusal ?? Self.confused)
        }
    }

    /// Resumes after `commit`, with what it returned or threw.
    mutating func committed(_ verdict: SMTPReply) {
        transaction = nil
        content = Content()
        phase = .command
        guard !isGone else { return end(abandoning: false) }
        if verdict.isPositive {
            commands = 0
            errors = 0
            reply(verdict, to: .content)
        } else {
            fail(verdict, to: .content)
        }
    }

    static let confused = SMTPReply(451, "4.3.0", "Local error in processing")

    private mutating func senderAnswered(_ arguments: MailArguments, _ refusal: SMTPReply?) {
        if let refusal { return fail(refusal, to: .mail) }
        guard let hello else { return fail(Self.confused, to: .mail) }
        transaction = Transaction(
            envelope: SMTPEnvelope(
                sender: arguments.sender, declaredSize: arguments.declaredSize, body: arguments.body, peer: peer, helo: hello.name,
                protocolName: hello.protocolName))
        reply(SMTPReply(250, "2.1.0", "OK"), to: .mail)
    }

    private mutating func recipientAnswered(_ path: SMTPPath, _ refusal: SMTPReply?) {
        if let refusal { return fail(refusal, to: .rcpt) }
        transaction?.envelope.recipients.append(path)
        reply(SMTPReply(250, "2.1.5", "OK"), to: .rcpt)
    }

    private mutating func beginAnswered(_ refusal: SMTPReply?) {
        if let refusal {
            guard !isGone else { return end(abandoning: false) }
            // The client may begin anew without a RSET.
            transaction = nil
            return refuseData(refusal)
        }
        content = Content()
        guard !isGone else { return end(abandoning: true) }
        phase = .content
        reply(SMTPReply(354, nil, "End data with <CR><LF>.<CR><LF>"), to: .data)
    }

    private mutating func appendAnswered(_ refusal: SMTPReply?, isLast: Bool) {
        guard !isGone else { return end(abandoning: true) }
        guard let refusal else {
            if isLast { return ask(.commit, .commit) }
            phase = .content
            return
        }
        abandonWriter()
        content.refusal = refusal
        phase = .content
        if isLast { contentEnded() }
    }

    // MARK: Content

    /// Reads content until something is to be done; false when more input is needed.
    mutating func readContent() -> Bool {
        let outcome = content.reader.read(from: &input, chunk: limits.contentChunk)
        if content.refusal == nil, content.size + content.reader.decoded.count > limits.maximumMessageSize {
            abandonWriter()
            content.refusal = tooLarge
        }
        if content.refusal != nil { content.dropped += content.reader.take().count }
        switch outcome {
        case .incomplete:
            return inputUsedUp()
        case .full:
            if let refusal = content.refusal, content.dropped > limits.maximumDiscard {
                refuseAndClose(refusal)
            } else if content.refusal == nil {
                append(isLast: false)
            }
        case .end:
            contentEnded()
        case .bareLineFeed:
            refuseAndClose(SMTPReply(550, "5.6.0", "Bare <LF> in the content: lines must end with <CR><LF>; closing connection"))
        case .bareCarriageReturn:
            refuseAndClose(SMTPReply(550, "5.6.0", "Bare <CR> in the content: lines must end with <CR><LF>; closing connection"))
        }
        return true
    }

    private mutating func inputUsedUp() -> Bool {
        if hasInputEnded {
            end(abandoning: true)
            return true
        }
        if let refusal = content.refusal, content.dropped > limits.maximumDiscard {
            refuseAndClose(refusal)
            return true
        }
        return false
    }

    private mutating func append(isLast: Bool) {
        let chunk = content.reader.take()
        content.size += chunk.count
        ask(.append(isLast: isLast), .append(chunk))
    }

    private mutating func contentEnded() {
        if let refusal = content.refusal {
            transaction = nil
            content = Content()
            phase = .command
            fail(refusal, to: .content)
        } else if content.reader.decoded.isEmpty {
            ask(.commit, .commit)
        } else {
            append(isLast: true)
        }
    }
}
