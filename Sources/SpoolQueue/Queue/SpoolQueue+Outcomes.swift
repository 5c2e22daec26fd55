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

    /// Syncs status bytes: of what was delivered at once, because a crash before that would have it delivered again; of all else after the
    /// notes that a report after a crash would quote.
    @discardableResult
    func mark(_ changes: [Int: SpoolEnvelope.Status], in message: OpenMessage, notes: [AttemptNotes.Note]) async -> Bool {
        let id = message.envelope.id
        let all = (unsynced[id] ?? [:]).merging(changes) { _, new in new }
        // Until the disk has them.
        if !all.isEmpty { unsynced[id] = all }
        let (delivered, others) = (all.filter { $0.value == .delivered }, all.filter { $0.value != .delivered })
        let (notesFailure, failure) = await pool.run { [directory] in
            var (notesFailure, failure): (SpoolError?, SpoolError?)
            do throws(SpoolError) { try directory.mark(delivered, in: message) } catch { failure = error }
            do throws(SpoolError) { try directory.addNotes(notes, about: id) } catch { notesFailure = error }
            do throws(SpoolError) { try directory.mark(others, in: message) } catch { failure = failure ?? error }
            return (notesFailure, failure)
        }
        if let error = notesFailure { logger.warning("notes not kept", metadata: ["queue_id": "\(id)", "error": "\(error)"]) }
        guard let error = failure else {
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
