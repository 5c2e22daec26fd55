// What a session wants done next: the whole of its traffic with the world.

/// One step for the carrier. Questions must be answered before the session goes on; the others are just done, in order.
enum SMTPStep {
    /// Send this. `to` says what it answers.
    case reply(SMTPReply, to: SMTPVerb)
    /// Question: `MailIntake.checkSender`. Answer with `answered`.
    case checkSender(SMTPPath, declaredSize: Int?)
    /// Question: `MailIntake.checkRecipient` in the session's `transaction`. Answer with `answered`, holding no copy of the
    /// envelope by then: the recipients are appended in place.
    case checkRecipient(SMTPPath)
    /// Question: `ETRNHandler.answer`. Answer with `etrnAnswered`, and the number.
    case etrn(String, number: Int)
    /// Question: `MailIntake.begin`. Answer with `answered`; the carrier keeps the writer.
    case begin(SMTPEnvelope)
    /// Question: `MessageWriter.append`. Answer with `answered`.
    case append([UInt8])
    /// Question: `MessageWriter.commit`. Answer with `committed`.
    case commit
    /// `MessageWriter.abandon`, and drop the writer.
    case abandon
    /// Send what is queued, then close. Nothing comes after this.
    case close

    var isQuestion: Bool {
        switch self {
        case .checkSender, .checkRecipient, .etrn, .begin, .append, .commit: true
        case .reply, .abandon, .close: false
        }
    }
}

/// What a session waits for, so that the carrier knows which clock runs.
enum SMTPWait: Equatable {
    /// A command line; the number counts the lines read, so that bytes without an end do not move the deadline.
    case command(number: Int)
    case content
    /// The answer to a question to the intake.
    case intake
    /// The answer to an ETRN; the number counts them, so that each has its own time.
    case etrn(number: Int)
    /// Nothing more: the session is over.
    case nothing
}
