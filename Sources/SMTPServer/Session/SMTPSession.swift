// One client's SMTP session as a state machine: bytes in, steps out, no sockets and no clock.

import DispatchSockets

/// A session (RFC 5321, section 3) from greeting to close.
///
/// `receive` takes bytes at any boundary, `next` says what to do, `answered` and `committed` resume after a question. Bytes
/// that come while a question is open wait; the carrier stops reading meanwhile, which bounds them.
struct SMTPSession {
    /// A mail transaction that MAIL has begun.
    struct Transaction {
        var envelope: SMTPEnvelope
        /// RCPT commands, whatever came of them.
        var recipientCommands = 0
    }

    /// A content that is being read.
    struct Content {
        var reader = ContentReader()
        /// Decoded bytes so far.
        var size = 0
        /// The reply when the end comes; everything until then is dropped.
        var refusal: SMTPReply?
        /// Bytes dropped so far.
        var dropped = 0
    }

    enum Question {
        case sender(MailArguments)
        case recipient(SMTPPath)
        case etrn(String)
        case begin
        /// `isLast`: the end of the content has been read.
        case append(isLast: Bool)
        case commit
    }

    enum Phase {
        case command
        case content
        case asking(Question)
        case over
    }

    let hostname: String
    let peer: Peer
    let limits: SMTPLimits
    let offer: SMTPOffer

    var phase = Phase.command
    var input = InputBuffer()
    var lines: LineReader
    var content = Content()
    var transaction: Transaction?
    /// What HELO or EHLO said, and which of the two it was.
    var hello: (name: String, protocolName: String)?
    /// Commands and errors since the last accepted message.
    var commands = 0
    var errors = 0
    /// ETRNs asked since the greeting: an answer to another one than the last comes too late.
    var etrnsAsked = 0
    /// Lines read since the greeting.
    private var linesRead = 0
    private var pending: [SMTPStep] = []
    /// Why the session ends at the next command border.
    private var farewell: SMTPReply?
    /// The client has closed its half.
    private(set) var hasInputEnded = false
    /// The connection is closed: no one reads a reply.
    private(set) var isGone = false

    init(hostname: String, peer: Peer, limits: SMTPLimits, offer: SMTPOffer = .mail) {
        self.hostname = hostname
        self.peer = peer
        self.limits = limits
        self.offer = offer
        lines = LineReader(maximumLine: limits.maximumLine)
        reply(SMTPReply(220, nil, "\(hostname) ESMTP"), to: .greeting)
    }

    // MARK: Events

    /// Takes what the client sent.
    mutating func receive(_ bytes: RawSpan) {
        if case .over = phase { return }
        input.append(bytes)
    }

    /// The client will send no more. What it sent already is still carried out.
    mutating func inputEnded() { hasInputEnded = true }

    /// The connection is gone: nobody reads a reply. Only an open message still needs its end.
    mutating func disconnected() {
        isGone = true
        input.removeAll()
        let untaken = pending.first(where: \.isQuestion)
        pending.removeAll { if case .abandon = $0 { false } else { true } }
        switch (phase, untaken) {
        case (.content, _), (_, .append), (_, .commit): end(abandoning: true)
        // The answer may be a writer, which has to be told.
        case (.asking(let question), nil) where question.concernsWriter: return
        default: end(abandoning: false)
        }
    }

    /// Ends the session with a 421 as soon as no message is in flight.
    mutating func end(with farewell: SMTPReply) {
        if self.farewell == nil { self.farewell = farewell }
    }

    /// The client took too long over a command or in the content (RFC 5321, section 4.5.3.2), or somebody over the answer to an ETRN.
    mutating func timedOut() {
        switch phase {
        case .command: finish(with: SMTPReply(421, "4.4.2", "\(hostname) Timeout, closing connection"))
        case .content: refuseAndClose(SMTPReply(421, "4.4.2", "\(hostname) Timeout in the content, closing connection"))
        case .asking(.etrn(let node)): etrnTimedOut(node)
        case .asking, .over: return
        }
    }

    /// What to do next; nil when more input or an answer is needed, or when all is over.
    mutating func next() -> SMTPStep? {
        while pending.isEmpty {
            let goesOn =
                switch phase {
                case .command: readCommand()
                case .content: readContent()
                case .asking, .over: false
                }
            guard goesOn else { return nil }
        }
        return pending.removeFirst()
    }

    var waitsFor: SMTPWait {
        switch phase {
        case .command: .command(number: linesRead)
        case .content: .content
        case .asking(.etrn): .etrn(number: etrnsAsked)
        case .asking: .intake
        case .over: .nothing
        }
    }

    // MARK: Reading

    private mutating func readCommand() -> Bool {
        if let farewell {
            finish(with: farewell)
            return true
        }
        let outcome = lines.next(from: &input)
        switch outcome {
        case .incomplete:
            if hasInputEnded { end(abandoning: false) }
            return hasInputEnded
        case .line(let line):
            linesRead += 1
            perform(line)
        case .overlong:
            linesRead += 1
            fail(SMTPReply(500, "5.5.2", "Line too long: at most \(limits.maximumLine) bytes"), to: .other)
        case .bareLineEnd:
            reply(SMTPReply(500, "5.5.2", "Lines must end with CR LF; closing connection"), to: .other)
            end(abandoning: false)
        case .endless:
            finish(with: SMTPReply(421, "4.7.0", "\(hostname) Line does not end, closing connection"))
        }
        return true
    }

    // MARK: Pieces for the other files

    mutating func reply(_ reply: SMTPReply, to verb: SMTPVerb) {
        pending.append(.reply(reply, to: verb))
    }

    mutating func ask(_ question: Question, _ step: SMTPStep) {
        phase = .asking(question)
        pending.append(step)
    }

    /// Refuses a command and ends the session when that happened too often.
    mutating func fail(_ refusal: SMTPReply, to verb: SMTPVerb) {
        reply(refusal, to: verb)
        guard refusal.isPermanent else { return }
        errors += 1
        if errors >= limits.maximumErrors { finish(with: SMTPReply(421, "4.7.0", "\(hostname) Too many errors, closing connection")) }
    }

    /// Tells the client that the session ends, and ends it.
    mutating func finish(with farewell: SMTPReply) {
        reply(farewell, to: .session)
        end(abandoning: false)
    }

    /// Ends a content at once. What follows is never read as commands.
    mutating func refuseAndClose(_ refusal: SMTPReply) {
        let hasWriter = content.refusal == nil
        if hasWriter { pending.append(.abandon) }
        reply(refusal, to: .content)
        end(abandoning: false)
    }

    mutating func abandonWriter() { pending.append(.abandon) }

    /// After this only what is pending is left to do.
    mutating func end(abandoning: Bool) {
        if abandoning, content.refusal == nil { pending.append(.abandon) }
        if !isGone { pending.append(.close) }
        phase = .over
        input.removeAll()
        content = Content()
        transaction = nil
    }
}

extension SMTPSession.Question {
    /// A message's writer is open, or may be once the answer is there.
    var concernsWriter: Bool {
        switch self {
        case .begin, .append, .commit: true
        case .sender, .recipient, .etrn: false
        }
    }
}
