// Drives a session without sockets: answers its questions at once and writes down what it did.

import DispatchSockets

@testable import SMTPServer

/// What came of a transcript.
struct SessionRecord: Equatable {
    /// Everything the client would have read.
    var output = ""
    /// The contents of the committed messages.
    var messages: [String] = []
    var envelopes: [String] = []
    var abandoned = 0
    var isClosed = false

    /// The codes of the replies, one a reply, without those of continued lines.
    var codes: [String] {
        output.replyCodes
    }
}

struct SessionDriver {
    var session: SMTPSession
    var record = SessionRecord()
    var refuseSender: (SMTPPath) -> SMTPReply? = { _ in nil }
    var refuseRecipient: (SMTPPath) -> SMTPReply? = { _ in nil }
    var refuseBegin: SMTPReply?
    var refuseAppend: SMTPReply?
    /// Nil leaves the question open.
    var answerETRN: (String) -> SMTPReply? = { SMTPReply(250, nil, "OK, queuing for node \($0) started") }
    /// The arguments of the ETRNs that were asked.
    var nodes: [String] = []
    var verdict = SMTPReply(250, "2.0.0", "Queued")
    var largestChunk = 0
    private var content: [UInt8]?

    init(_ limits: SMTPLimits = SMTPLimits(), _ offer: SMTPOffer = .mail) {
        session = SMTPSession(hostname: "mail.example", peer: .test, limits: limits, offer: offer)
        run()
    }

    mutating func feed(_ text: String) { feed(Array(text.utf8)) }

    mutating func feed(_ bytes: [UInt8]) {
        session.receive(bytes.span.bytes)
        run()
    }

    mutating func run() {
        while let step = session.next() {
            precondition(!record.isClosed, "a step after close")
            carryOut(step)
        }
    }

    private mutating func carryOut(_ step: SMTPStep) {
        switch step {
        case .reply(let reply, _): record.output += String(decoding: reply.rendered, as: UTF8.self)
        case .checkSender(let sender, _): session.answered(refuseSender(sender))
        case .checkRecipient(let recipient): session.answered(refuseRecipient(recipient))
        case .etrn(let node, let number):
            nodes.append(node)
            if let answer = answerETRN(node) { session.etrnAnswered(answer, number: number) }
        case .begin(let envelope): begin(envelope)
        case .append(let chunk):
            largestChunk = max(largestChunk, chunk.count)
            content?.append(contentsOf: chunk)
            session.answered(refuseAppend)
        case .commit:
            record.messages.append(String(decoding: content ?? Array("no writer".utf8), as: UTF8.self))
            content = nil
            session.committed(verdict)
        case .abandon:
            precondition(content != nil, "abandon without a writer")
            content = nil
            record.abandoned += 1
        case .close: record.isClosed = true
        }
    }

    private mutating func begin(_ envelope: SMTPEnvelope) {
        if refuseBegin == nil {
            precondition(content == nil, "two writers at once")
            content = []
            let recipients = envelope.recipients.map(\.description).joined()
            record.envelopes.append("\(envelope.helo) \(envelope.protocolName) \(envelope.sender) \(recipients) \(envelope.body.rawValue)")
        }
        session.answered(refuseBegin)
    }
}

extension String {
    /// Without the line ends.
    var lines: [Substring] { split(separator: "\r\n" as Character) }

    /// The codes of the replies in a text, one a reply.
    var replyCodes: [String] {
        lines.filter { line in line.dropFirst(3).first != "-" }.map { line in String(line.prefix(3)) }
    }
}

extension Peer {
    static let test = Peer(address: .ipv4(0x7f00_0001, port: 4711))
}

/// What a transcript of the client's side leads to, in one piece.
func play(
    _ client: String, _ limits: SMTPLimits = SMTPLimits(), offer: SMTPOffer = .mail, set: (inout SessionDriver) -> Void = { _ in }
) -> SessionRecord {
    var driver = SessionDriver(limits, offer)
    set(&driver)
    driver.feed(client)
    return driver.record
}

/// The client's side up to the 354.
let untilData = "EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@site.example>\r\nDATA\r\n"
