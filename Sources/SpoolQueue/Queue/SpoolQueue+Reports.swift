// Reports about mail that could not be delivered: made once, sent or kept.

import DiskPort
import FlushCore
import HashTreeCollections
import Logging

extension SpoolQueue {
    /// How much of the original is read for its header section.
    private static let headerRead = 64 << 10

    /// Tells the sender about the recipients that a report is owed for.
    ///
    /// The report's ID follows from the original's, and the report is sent only after the original's status bytes say that it is
    /// there. So a crash between any two steps neither loses it nor makes two: what is owed is done again, and finds it.
    func reportBounces(of attempt: Attempt) async {
        guard let envelope = attempt.envelope else { return }
        let owed = envelope.recipients.indices.filter { envelope.recipients[$0].status == .reportOwed }
        let reportID = SpoolID.report(of: envelope.id, reported: envelope.recipients.count { $0.status == .reported })
        let folder: SpoolFolder = parameters.relayhost == nil || envelope.sender.isEmpty ? .bounces : .incoming
        // From here on it may be on disk; it is no message of the queue before the original knows of it.
        arriving.insert(reportID)
        do throws(SpoolError) {
            let message = try await openAnywhere(envelope.id)
            let plan = ReportPlan(
                id: reportID, folder: folder, reporter: parameters.myhostname, envelope: envelope, owed: owed, reasons: attempt.reasons,
                now: time.now)
            let place = try await pool.run { [directory] () throws(SpoolError) in
                try Self.store(plan, about: message, in: directory)
            }
            let changes = Dictionary(uniqueKeysWithValues: owed.map { ($0, SpoolEnvelope.Status.reported) })
            guard await mark(changes, in: message, notes: []) else {
                // In memory they are owed again, so that the next try finds the report.
                for index in owed { unsynced[envelope.id]?[index] = .reportOwed }
                return
            }
            for index in owed { attempt.envelope?.recipients[index].status = .reported }
            arriving.remove(reportID)
            if place == .bounces { await reportWasKept() } else { await send(reportID, in: place) }
            logger.info("report made", metadata: ["queue_id": "\(envelope.id)", "report": "\(reportID)", "kept": "\(place == .bounces)"])
        } catch {
            logger.error("report not made; it will be tried again", metadata: ["queue_id": "\(envelope.id)", "error": "\(error)"])
        }
    }

    /// Puts the report on disk unless an earlier try has done it, and returns where it is.
    private static func store(_ plan: ReportPlan, about message: OpenMessage, in directory: SpoolDirectory) throws(SpoolError) -> SpoolFolder {
        if let place = directory.contains(plan.id, in: .bounces) ? .bounces : directory.locate(plan.id) {
            // More may be owed than when it was written: the disk did not take that it had been made, so nobody has got it.
            if let found = try? directory.load(plan.id, in: place), found.envelope.report?.failed == plan.failed { return place }
            try directory.remove(plan.id, from: place)
        }
        let beginning = try message.handle.read(at: message.layout.content, count: min(headerRead, message.envelope.size))
        let notes = AttemptNotes.parse(directory.notes(about: plan.envelope.id))
        let report = plan.report(notes: notes, original: beginning)
        directory.discard(plan.id)
        try directory.store(report.envelope, content: report.content, in: plan.folder, nextAttempt: plan.now)
        do throws(SpoolError) { try directory.sync(plan.folder) } catch {
            try? directory.remove(plan.id, from: plan.folder)
            throw error
        }
        return plan.folder
    }

    /// Makes a report a message of the queue, and tries it at once.
    private func send(_ id: QueueID, in folder: SpoolFolder) async {
        guard entries[id] == nil else { return }
        do throws(SpoolError) {
            let record = try await pool.run { [directory] () throws(SpoolError) in try directory.load(id, in: folder) }
            guard entries[id] == nil else { return }
            entries[id] = entry(for: record.envelope, in: folder, next: time.now)
            guard folder != .hold else { return }
            begin(id, domains: nil)
            if let entry = entries[id] { tell(.queued(queued(id, entry))) }
            pump()
        } catch {
            // It is on disk; the next scan finds it.
            logger.error("report cannot be read", metadata: ["queue_id": "\(id)", "error": "\(error)"])
        }
    }

    /// Counts a kept report, and drops the oldest when there are too many: some at once, so that the directory is not listed each time.
    private func reportWasKept() async {
        keptReports += 1
        let limit = max(1, parameters.keptReportLimit)
        guard keptReports > limit, !isTrimmingReports else { return }
        isTrimmingReports = true
        defer { isTrimmingReports = false }
        do throws(SpoolError) {
            let (dropped, left) = try await pool.run { [directory] () throws(SpoolError) in
                let ids = try directory.list(.bounces).ids.sorted()
                let oldest = ids.count > limit ? ids.prefix(ids.count - limit + limit / 100) : []
                for id in oldest { try directory.remove(id, from: .bounces) }
                return (oldest, ids.count - oldest.count)
            }
            keptReports = left
            for id in dropped {
                logger.warning("too many kept reports: the oldest was dropped", metadata: ["report": "\(id)", "limit": "\(limit)"])
            }
        } catch {
            logger.error("kept reports not trimmed", metadata: ["error": "\(error)"])
        }
    }

    /// Moves a report that nobody can carry to `bounces`. Durable when it returns.
    func keepReport(_ id: QueueID) async -> Bool {
        let known = entries[id]?.folder ?? .active
        do throws(SpoolError) {
            try await pool.run { [directory] () throws(SpoolError) in
                guard let folder = directory.contains(id, in: known) ? known : directory.locate(id) else { return }
                directory.removeNotes(about: id)
                try directory.move(id, from: folder, to: .bounces)
                try directory.sync(.bounces)
            }
            await reportWasKept()
            return true
        } catch {
            logger.error("report not moved to bounces", metadata: ["queue_id": "\(id)", "error": "\(error)"])
            return false
        }
    }
}
