// ETRN (RFC 1985): its place among the commands, its question, its answer.

extension SMTPSession {
    /// The checks that need no knowledge of domains, in the order of Postfix's; what the argument names is the handler's to say.
    ///
    /// What RFC 1985 has words for is answered in them, as Postfix does without an enhanced code.
    mutating func etrn(_ arguments: ArraySlice<UInt8>) throws(SMTPReply) {
        guard offer.contains(.etrn) else { throw SMTPReply(502, "5.5.1", "ETRN not implemented") }
        guard hello != nil else { throw SMTPReply(503, "5.5.1", "Say HELO or EHLO first") }
        guard transaction == nil else { throw SMTPReply(503, "5.5.1", "ETRN cannot come in a mail transaction") }
        guard !arguments.isEmpty, !arguments.contains(UInt8(ascii: " ")) else { throw SMTPReply(500, nil, "Syntax Error") }
        // SMTPUTF8 is not offered: a name in other scripts is written as an A-label.
        guard arguments.allSatisfy({ $0 < 0x80 }) else { throw SMTPReply(501, nil, "Syntax Error in Parameters") }
        let node = String(decoding: arguments, as: UTF8.self)
        etrnsAsked += 1
        ask(.etrn(node), .etrn(node, number: etrnsAsked))
    }

    /// Resumes after `ETRNHandler.answer`. Nothing happens when the client has had its answer already.
    ///
    /// - Parameter number: the question's.
    mutating func etrnAnswered(_ answer: SMTPReply, number: Int) {
        guard case .asking(.etrn) = phase, number == etrnsAsked else { return }
        phase = .command
        if answer.isPositive { reply(answer, to: .etrn) } else { fail(answer, to: .etrn) }
    }

    /// Nobody knows what has become of the request; asking again does no harm, because it would join what runs.
    mutating func etrnTimedOut(_ node: String) {
        etrnAnswered(SMTPReply(458, nil, "Unable to queue messages for node \(node)"), number: etrnsAsked)
    }
}
