// Everything that is needed to write one report.

import FlushCore

/// A report about some recipients of a message.
struct ReportPlan: Sendable {
    var id: QueueID
    var folder: SpoolFolder
    /// Our host name.
    var reporter: String
    /// The original's envelope.
    var envelope: SpoolEnvelope
    /// Its recipients that the report is about, by index.
    var owed: [Int]
    /// What was said about them, as far as this process knows.
    var reasons: [Int: String]
    var now: Timestamp

    /// The addresses that the report is about.
    var failed: [String] { owed.map { envelope.recipients[$0].address } }

    /// Stands in where neither this process nor the notes know the reason, after a crash of the machine.
    static let unknownReason = "the mail could not be delivered; the reason was lost in a crash"

    /// - Parameters:
    ///   - notes: fill in the reasons that a crash has taken from memory.
    ///   - original: the beginning of the original's content.
    func report(notes: [AttemptNotes.Note], original: [UInt8]) -> (envelope: SpoolEnvelope, content: [UInt8]) {
        let failures = owed.map { index in
            let address = envelope.recipients[index].address
            let noted = notes.last { $0.recipient == address && $0.result == "bounced" }?.text
            return BounceReport.Failure(recipient: address, reason: reasons[index] ?? noted ?? Self.unknownReason)
        }
        let content = BounceReport(
            id: id, reporter: reporter, sender: envelope.sender, original: envelope.id, arrival: envelope.arrival, now: now,
            failures: failures
        ).content(original: original)
        let report = SpoolEnvelope.Report(
            original: envelope.id, sender: envelope.sender, failed: failures.map(\.recipient), reason: failures.first?.reason ?? "")
        // A null sender has no address: the report is only kept, and its recipient is the one whom RFC 5321 names for such cases.
        let recipient = envelope.sender.isEmpty ? "postmaster@\(reporter)" : envelope.sender
        return (
            SpoolEnvelope(
                id: id, arrival: now, size: content.count, body: content.contains { $0 >= 0x80 } ? .eightBit : .sevenBit, sender: "",
                report: report, recipients: [SpoolEnvelope.Recipient(address: recipient)]),
            content
        )
    }
}
