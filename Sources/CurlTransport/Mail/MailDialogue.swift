// One mail transaction over an open session: which command comes next, and what a reply means for it.

/// The client's side of MAIL, RCPT, DATA and the content. No sockets: replies in, bytes to send out.
struct MailDialogue {
    enum Action: Equatable {
        /// Send these bytes, then wait for replies.
        case send([UInt8])
        /// Send the content and its final dot, then wait for the reply.
        case sendContent
        case wait
        /// Nothing more is to be said.
        case finish
        /// A reply that answers nothing we asked.
        case unexpectedReply
    }

    private struct Command {
        var step: CurlExchange.Step
        var text: String
    }

    private var commands: ArraySlice<Command>
    private let recipientCount: Int
    private let pipelining: Bool
    /// What has been sent and not been answered, oldest first.
    private(set) var outstanding: ArraySlice<CurlExchange.Step> = []
    private(set) var exchanges: [CurlExchange] = []
    private var mailAccepted = false
    private var recipientsAccepted = false
    /// The final dot has been handed over: the server may have the message.
    private(set) var contentSent = false
    /// The session can carry another message.
    private(set) var sessionIsGood = true
    /// The next message must begin with RSET.
    private(set) var needsReset = false

    init(_ transfer: CurlTransfer, capabilities: MailCapabilities, needsReset: Bool) {
        var mail = "MAIL FROM:<\(transfer.sender)>"
        if capabilities.size { mail += " SIZE=\(transfer.size)" }
        if transfer.isEightBit, capabilities.eightBitMIME { mail += " BODY=8BITMIME" }
        var commands = needsReset ? [Command(step: .reset, text: "RSET")] : []
        commands.append(Command(step: .mail, text: mail))
        for (i, recipient) in transfer.recipients.enumerated() {
            commands.append(Command(step: .recipient(i), text: "RCPT TO:<\(recipient)>"))
        }
        self.commands = commands[...]
        recipientCount = transfer.recipients.count
        pipelining = capabilities.pipelining
    }

    /// The step whose reply is awaited.
    var currentStep: CurlExchange.Step? { outstanding.first }

    /// Begins the dialogue.
    mutating func begin() -> Action { sendNext() }

    /// The final dot has been handed to the connection.
    mutating func contentWasSent() { contentSent = true }

    /// Takes the next final reply.
    mutating func received(_ reply: ReplyReader.Reply) -> Action {
        guard let step = outstanding.popFirst() else {
            sessionIsGood = false
            return .unexpectedReply
        }
        // A 2xx to a content that the server cannot have: whoever reads the exchanges must not take it for a delivery.
        guard step != .content || contentSent || reply.code / 100 >= 4 else {
            sessionIsGood = false
            return .unexpectedReply
        }
        exchanges.append(CurlExchange(step: step, code: reply.code, lines: reply.lines))
        if reply.code == 421 {
            // RFC 5321, section 3.8: the server is closing; nothing that is still out will be answered.
            outstanding = []
            return finish(reusable: false)
        }
        switch step {
        case .mail:
            mailAccepted = reply.code / 100 == 2
            needsReset = mailAccepted
            if !mailAccepted { commands = [] }
        case .recipient:
            if reply.code / 100 == 2 { recipientsAccepted = true }
        case .reset:
            if reply.code / 100 != 2 { return finish(reusable: false) }
        case .data:
            guard reply.code == 354 else { return finish(reusable: reply.code / 100 >= 4) }
            outstanding = [.content]
            return .sendContent
        case .content:
            needsReset = false
            // An answer before the dot: the rest of the content would be read as commands.
            return finish(reusable: contentSent)
        case .greeting, .hello, .startTLS, .quit, .other:
            return .unexpectedReply
        }
        return outstanding.isEmpty ? sendNext() : .wait
    }

    private mutating func sendNext() -> Action {
        guard !commands.isEmpty else {
            guard mailAccepted, recipientsAccepted else { return finish(reusable: true) }
            outstanding = [.data]
            return .send(Array("DATA\r\n".utf8))
        }
        // RFC 2920, section 3.1: RSET, MAIL and RCPT may go in a group; DATA ends one, and waits here until a recipient is certain.
        let group = pipelining ? commands : commands.prefix(1)
        commands = commands.dropFirst(group.count)
        outstanding = ArraySlice(group.map(\.step))
        return .send(group.flatMap { Array($0.text.utf8) + [UInt8(ascii: "\r"), UInt8(ascii: "\n")] })
    }

    private mutating func finish(reusable: Bool) -> Action {
        if !reusable { sessionIsGood = false }
        return .finish
    }
}
