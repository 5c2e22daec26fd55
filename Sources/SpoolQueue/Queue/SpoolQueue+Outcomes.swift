// Outcomes of transmissions: onto the disk before anything else happens to the message.

import DiskPort
import FlushCore
import Logging

extension SpoolQueue {
    /// Takes what a transmission brought: into the attempt, and onto the disk before anything else happens to the message.
    func record(_ result: DeliveryResult, of tried: [Int], in message: OpenMessage, attempt: Attempt) async {
        let now = time.now
        var changes: [Int: SpoolEnvelope.Status] = [:]
        var notes: [AttemptNotes.Note] = []
        for (position, index) in tried.enumerated() {
            let outcome = result.outcomes.indices.contains(position) ? result.outcomes[position] : .deferred(reason: "no outcome was told")
            if let status = attempt.take(outcome, for: index) { changes[index] = status }
            notes.append(Self.note(outcome, recipient: message.envelope.recipients[index].address, at: now))
        }
        let isDelivered = attempt.openParts == 1 && attempt.envelope?.recipients.allSatisfy { $0.status == .delivered } == true
        await mark(changes, in: message, notes: isDelivered ? [] : notes)
    }

    /// Syncs status bytes, and before them the notes that a report after a crash would quote.
    @discardableResult
    func mark(_ changes: [Int: SpoolEnvelope.Status], in message: OpenMessage, notes: [AttemptNotes.Note]) async -> Bool {
        let id = message.envelope.id
        let all = (unsynced[id] ?? [:]).merging(changes) { _, new in new }
        // Until the disk has them.
        if !all.isEmpty { unsynced[id] = all }
        let failures = await pool.run { [directory] in
            var failures: [SpoolError?] = [nil, nil]
            do throws(SpoolError) { try directory.addNotes(notes, about: id) } catch { failures[0] = error }
            do throws(SpoolError) { try directory.mark(all, in: message) } catch { failures[1] = error }
            return failures
        }
        if let error = failures[0] { logger.warning("notes not kept", metadata: ["queue_id": "\(id)", "error": "\(error)"]) }
        guard let error = failures[1] else {
            if unsynced[id] == all { unsynced[id] = nil }
            return true
        }
        logger.error("outcome not on disk; kept in memory", metadata: ["queue_id": "\(id)", "error": "\(error)"])
        return false
    }

    private static func note(_ outcome: RecipientOutcome, recipient: String, at time: Timestamp) -> AttemptNotes.Note {
        let (result, text) =
            switch outcome {
            case .delivered(let reply): ("delivered", reply)
            case .deferred(let reason): ("deferred", reason)
            case .bounced(let reply): ("bounced", reply)
            }
        return AttemptNotes.Note(at: time, recipient: recipient, result: result, text: SpoolEnvelope.line(text))
    }

    func locate(_ id: QueueID) async -> SpoolFolder? { await pool.run { [directory] in directory.locate(id) } }
}
