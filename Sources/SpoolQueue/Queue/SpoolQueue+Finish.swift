// The end of an attempt: expiry, reports, and where the message goes from here.

import DiskPort
import FlushCore
import HashTreeCollections
import Logging

extension SpoolQueue {
    /// Ends an attempt: the message leaves, or goes back to wait; in either case exactly one event tells.
    func finish(_ attempt: Attempt) async {
        let id = attempt.id
        // After the stop another process may own the files; what was synced is enough for it.
        guard phase != .stopped, let entry = entries[id] else { return }
        if attempt.isGone { return leave(attempt) }

        if attempt.envelope == nil, isExpired(entry) || entry.isUnfinished || entry.isReport && parameters.relayhost == nil {
            await loadEnvelope(of: attempt, in: entry.folder)
            if attempt.isGone { return leave(attempt) }
        }
        if attempt.envelope != nil { await expire(attempt, entry) }

        if let envelope = attempt.envelope, envelope.report != nil, envelope.owesReport || parameters.relayhost == nil {
            // A report that cannot be carried is not reported about: it is kept.
            if await keepReport(id) { return leave(attempt) }
        } else if attempt.envelope?.owesReport == true {
            await reportBounces(of: attempt)
        }
        if let envelope = attempt.envelope, !envelope.hasPending, !envelope.owesReport, await removeFile(id) {
            return leave(attempt)
        }
        await waitAgain(attempt)
    }

    private func loadEnvelope(of attempt: Attempt, in folder: SpoolFolder) async {
        let id = attempt.id
        do throws(SpoolError) {
            attempt.envelope = merged(try await pool.run { [directory] () throws(SpoolError) in try directory.load(id, in: folder).envelope })
        } catch .damaged(let detail) {
            attempt.isGone = await setAside(id, from: folder, detail: detail)
        } catch {
            attempt.isGone = error.isMissing ? await locate(id) == nil : false
            if !attempt.isGone { logger.error("queue file cannot be read", metadata: ["queue_id": "\(id)", "error": "\(error)"]) }
        }
    }

    // MARK: Leaving and staying

    /// The message has left the queue.
    private func leave(_ attempt: Attempt) {
        entries[attempt.id] = nil
        unsynced[attempt.id] = nil
        tellEnd(of: attempt, remaining: nil)
    }

    private func tellEnd(of attempt: Attempt, remaining: QueuedMessage?) {
        tell(
            .attempted(
                DeliveryAttempt(
                    id: attempt.id, flush: attempt.flush, remaining: remaining, outcomes: attempt.outcomes, siteAnswered: attempt.siteAnswered)))
        // Reasons quote replies, which may name addresses: they stay out of the log.
        logger.info(
            "attempt ended",
            metadata: [
                "queue_id": "\(attempt.id)", "domains": "\(attempt.outcomes.map(\.domain.description).joined(separator: " "))",
                "delivered": "\(attempt.outcomes.map(\.delivered).reduce(0, +))", "deferred": "\(attempt.outcomes.map(\.deferred).reduce(0, +))",
                "bounced": "\(attempt.outcomes.map(\.bounced).reduce(0, +))", "left_queue": "\(remaining == nil)",
            ])
    }

    /// The message goes back to `deferred`, or stays where it is when the disk refuses.
    private func waitAgain(_ attempt: Attempt) async {
        let id = attempt.id
        guard let entry = entries[id] else { return }
        let now = time.now
        let next = nextTime(after: attempt, entry, now: now)
        let home = await pool.run { [directory] in Self.putBack(id, from: entry.folder, next: next, in: directory) }
        if let error = home.error {
            logger.error("message not moved to deferred", metadata: ["queue_id": "\(id)", "error": "\(error)"])
        }
        guard let folder = home.folder else {
            attempt.isGone = true
            return leave(attempt)
        }
        entries[id]?.folder = folder
        entries[id]?.activity = .idle
        entries[id]?.wasTried = true
        entries[id]?.next = next
        if let envelope = attempt.envelope {
            entries[id]?.domains = shared(envelope.pendingDomains)
            entries[id]?.hasPending = envelope.hasPending
            entries[id]?.owesReport = envelope.owesReport
        }
        plan(id)
        tellEnd(of: attempt, remaining: entries[id].map { queued(id, $0) })
    }

    private func nextTime(after attempt: Attempt, _ entry: Entry, now: Timestamp) -> Timestamp {
        // What could not be finished is not a matter of the message's age.
        if let envelope = attempt.envelope, !envelope.hasPending || envelope.owesReport { return now + parameters.minimalBackoffTime }
        // Nobody was tried: a report has been made up for, and the pending recipients keep their time. When not even the file could be
        // read, or not be given up, the disk gets a pause.
        if attempt.domains?.isEmpty == true {
            return attempt.envelope == nil || isExpired(entry) ? now + parameters.minimalBackoffTime : max(now, entry.next)
        }
        return now + RetrySchedule.backoff(arrival: entry.arrival, now: now, parameters: parameters)
    }

    private static func putBack(
        _ id: QueueID, from known: SpoolFolder, next: Timestamp, in directory: SpoolDirectory
    ) -> (folder: SpoolFolder?, error: SpoolError?) {
        let folder = directory.contains(id, in: known) ? known : directory.locate(id)
        guard let folder, folder != .hold else { return (folder, nil) }
        do throws(SpoolError) {
            try directory.setNextAttempt(next, of: id, in: folder)
            if folder != .deferred { try directory.move(id, from: folder, to: .deferred) }
            return (.deferred, nil)
        } catch { return (directory.locate(id) ?? folder, error) }
    }

    private func removeFile(_ id: QueueID) async -> Bool {
        let known = entries[id]?.folder ?? .active
        do throws(SpoolError) {
            try await pool.run { [directory] () throws(SpoolError) in
                guard let folder = directory.contains(id, in: known) ? known : directory.locate(id) else { return }
                // The notes first: a crash in between leaves a message that the next start finishes, and no notes about nothing.
                directory.removeNotes(about: id)
                try directory.remove(id, from: folder)
            }
            return true
        } catch {
            logger.error("finished message not removed", metadata: ["queue_id": "\(id)", "error": "\(error)"])
            return false
        }
    }

    // MARK: Expiry

    /// Gives up what is still pending of a message that is too old.
    private func expire(_ attempt: Attempt, _ entry: Entry) async {
        guard let envelope = attempt.envelope, envelope.hasPending else { return }
        let pending = envelope.recipients.indices.filter { envelope.recipients[$0].status == .pending }
        let tooOld: [Int]
        if parameters.maximalQueueLifetime > .zero {
            tooOld = isExpired(entry) ? pending : []
        } else {
            // One attempt each: only those that had it.
            tooOld = pending.filter { attempt.deferrals[$0] != nil }
        }
        guard !tooOld.isEmpty else { return }
        let changes = Dictionary(uniqueKeysWithValues: tooOld.map { ($0, SpoolEnvelope.Status.reportOwed) })
        let age = (time.now - entry.arrival).components.seconds
        let reasons = tooOld.map { index in
            let last = attempt.deferrals[index].map { "; the last attempt: \($0)" } ?? ""
            return SpoolEnvelope.line("message expired after \(age) seconds in the queue\(last)")
        }
        let now = time.now
        let notes = zip(tooOld, reasons).map { index, reason in
            AttemptNotes.Note(at: now, recipient: envelope.recipients[index].address, result: "bounced", text: reason)
        }
        do throws(SpoolError) {
            let message = try await openAnywhere(envelope.id)
            guard await mark(changes, in: message, notes: notes) else {
                // Nothing has been promised to anybody: they stay pending, in memory too.
                for index in tooOld { unsynced[envelope.id]?[index] = nil }
                if unsynced[envelope.id]?.isEmpty == true { unsynced[envelope.id] = nil }
                return
            }
        } catch {
            return logger.error("expired message cannot be opened", metadata: ["queue_id": "\(envelope.id)", "error": "\(error)"])
        }
        for (index, reason) in zip(tooOld, reasons) { attempt.expire(index, reason: reason) }
    }

    func openAnywhere(_ id: QueueID) async throws(SpoolError) -> OpenMessage {
        let known = entries[id]?.folder ?? .active
        return try await pool.run { [directory] () throws(SpoolError) in
            let folder = directory.contains(id, in: known) ? known : directory.locate(id)
            return try directory.open(id, in: folder ?? known, writable: true)
        }
    }
}
