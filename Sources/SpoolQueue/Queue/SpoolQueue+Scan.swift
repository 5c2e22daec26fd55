// The whole queue, told page by page, after a comparison with the files.

import DiskPort
import FlushCore
import HashTreeCollections

extension SpoolQueue {
    /// Messages in a page of `scan`, and IDs in a call of `describe`.
    public static let pageSize = 1_000

    public func scan(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(MailQueueError) {
        guard isServing || phase == .stopping else { throw .unavailable("the queue is not running") }
        // The first scan reads the files, and tells what it reads.
        guard phase != .filling else { return try await fillAndTell(receive) }
        do throws(SpoolError) { try await compareWithDisk() } catch { throw .unavailable("\(error)") }
        let all = await pool.run { [entries] in entries.keys.sorted() }
        for start in stride(from: 0, to: all.count, by: Self.pageSize) {
            let page = all[start..<min(start + Self.pageSize, all.count)].compactMap { id in entries[id].map { queued(id, $0) } }
            await receive(page)
        }
    }

    private func fillAndTell(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(MailQueueError) {
        do throws(SpoolError) { try await fill(receive) } catch { throw .unavailable("\(error)") }
    }

    /// Finds files that somebody removed, moved to or from `hold`, or put there. Events tell what had changed.
    private func compareWithDisk() async throws(SpoolError) {
        let (missing, unknown) = try await pool.run { [entries, directory] () throws(SpoolError) in
            var found: [QueueID: SpoolFolder] = [:]
            for folder in SpoolFolder.queue {
                for id in try directory.list(folder).ids { found[id] = folder }
            }
            let missing = entries.filter { id, entry in entry.activity != .attempt && found[id] != entry.folder }.map(\.key)
            return (missing, found.keys.filter { entries[$0] == nil })
        }
        // All that is old by now: whoever differed is looked at again, unless somebody works on it.
        for id in missing where entries[id] != nil { await refresh(id) }
        for id in unknown where entries[id] == nil && !arriving.contains(id) { await refresh(id) }
        pump()
    }

    public func describe(_ ids: [QueueID]) async throws(MailQueueError) -> [MessageDescription] {
        let known = ids.map { ($0, entries[$0]?.folder ?? .deferred) }
        let read = await pool.run { [directory] in known.map { id, folder in Self.read(id, in: folder, of: directory) } }
        return read.compactMap { $0.map(description) }
    }

    private static func read(
        _ id: QueueID, in known: SpoolFolder, of directory: SpoolDirectory
    ) -> (record: SpoolRecord, folder: SpoolFolder, notes: [AttemptNotes.Note])? {
        // A message may move while it is looked for; twice in a row is more bad luck than there is.
        for _ in 0..<3 {
            guard let folder = directory.contains(id, in: known) ? known : directory.locate(id) else { return nil }
            if let record = try? directory.load(id, in: folder) {
                return (record, folder, AttemptNotes.parse(directory.notes(about: id)))
            }
        }
        return nil
    }

    private func description(_ read: (record: SpoolRecord, folder: SpoolFolder, notes: [AttemptNotes.Note])) -> MessageDescription {
        let envelope = merged(read.record.envelope)
        let entry = entries[envelope.id]
        var last: [String: String] = [:]
        for note in read.notes { last[note.recipient] = note.text }
        let recipients = envelope.recipients.map { recipient in
            let reason = recipient.status == .delivered ? nil : last[recipient.address] ?? pendingReason(recipient)
            return MessageDescription.Recipient(address: recipient.address, state: recipient.status.state, reason: reason)
        }
        return MessageDescription(
            id: envelope.id, place: entry?.place ?? (read.folder == .hold ? .held : .deferred), arrival: envelope.arrival,
            size: envelope.size, sender: envelope.sender, recipients: recipients, nextAttempt: entry.flatMap(nextAttempt),
            history: Array(read.notes.suffix(AttemptNotes.maximumHistory)))
    }

    /// Why a recipient without a history waits.
    private func pendingReason(_ recipient: SpoolEnvelope.Recipient) -> String? {
        guard recipient.status == .pending, let domain = SpoolEnvelope.domain(of: recipient.address),
            let route = routes.route(for: domain), let suspension = sites.suspension(of: route.nextHop, at: time.now)
        else { return nil }
        return Self.suspended(suspension.reason)
    }

    private func nextAttempt(of entry: Entry) -> Timestamp? {
        guard entry.folder != .hold, entry.activity != .attempt, entry.hasPending else { return nil }
        return entry.isReport || !ownDomains(of: entry).isEmpty ? entry.next : nil
    }
}

extension SpoolEnvelope.Status {
    fileprivate var state: MessageDescription.Recipient.State {
        switch self {
        case .pending: .pending
        case .delivered: .delivered
        case .reportOwed, .reported: .bounced
        }
    }
}
