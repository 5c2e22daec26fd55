// From the files to the entries, after a start.

import DispatchSockets
import FlushCore
import Logging

/// What a start found in the spool.
public struct SpoolStart: Sendable, Equatable {
    /// Messages in the queue, those on hold included.
    public var messages = 0
    /// Messages whose delivery a stop or a crash had interrupted.
    public var interrupted = 0
    /// Files that were never acknowledged, and are gone.
    public var abandoned = 0
    /// Files that could not be understood, and were moved to `corrupt/`.
    public var corrupt = 0
    /// Files that could not be read at the moment, or whose names are no queue IDs; left where they are.
    public var unreadable = 0
}

extension SpoolQueue {
    /// How many files one piece of disk work reads: enough to amortise the hop, little enough that others get their turn.
    static let filesPerRead = 256

    /// Reads the spool, finishes what a crash interrupted, and begins to deliver. Mail may be taken in once it has returned.
    ///
    /// - Throws: when the spool's directories cannot be read. Single files that cannot be are counted and logged.
    public func start() async throws(SpoolError) -> SpoolStart {
        precondition(phase == .opened, "a spool queue is started once")
        var report = SpoolStart()
        report.abandoned = try await pool.run { [directory] () throws(SpoolError) in try directory.emptyTemporary() }
        // Last the directory into which the others are emptied.
        for folder in [SpoolFolder.incoming, .active, .hold, .deferred] {
            let (found, foreign) = try await pool.run { [directory] () throws(SpoolError) in try directory.list(folder) }
            report.unreadable += foreign
            // Those too that will turn out to be unreadable: a new message of that ID would replace them.
            for id in found { ids.noteExisting(id) }
            for start in stride(from: 0, to: found.count, by: Self.filesPerRead) {
                let page = found[start..<min(start + Self.filesPerRead, found.count)].filter { entries[$0] == nil }
                await take(page, from: folder, into: &report)
            }
        }
        // The directory that has gained names first: one that is durably without them would not be.
        for folder in [SpoolFolder.deferred, .incoming, .active] {
            try await pool.run { [directory] () throws(SpoolError) in try directory.sync(folder) }
        }
        let kept = try await pool.run { [directory] () throws(SpoolError) in try directory.list(.bounces).ids }
        keptReports = kept.count
        // A report's ID follows from its original's: an ID given again would take a kept report's place.
        for id in kept { ids.noteExisting(id) }
        report.messages = entries.count
        logger.info(
            "spool opened",
            metadata: [
                "messages": "\(report.messages)", "interrupted": "\(report.interrupted)", "abandoned": "\(report.abandoned)",
                "corrupt": "\(report.corrupt)", "unreadable": "\(report.unreadable)",
            ])
        await finishOwedReports()
        // A stop meanwhile has let go of the spool.
        guard phase == .opened else { return report }
        phase = .running
        pump()
        arm()
        return report
    }

    private func take(_ page: [QueueID], from folder: SpoolFolder, into report: inout SpoolStart) async {
        let now = time.now
        let records = await pool.run { [directory] in
            page.map { id in Self.recover(id, from: folder, now: now, in: directory) }
        }
        for (id, record) in zip(page, records) {
            switch record {
            case .success(let record):
                let home: SpoolFolder = folder == .hold ? .hold : .deferred
                if home != folder { report.interrupted += 1 }
                adopt(id, record, in: home)
            case .failure(.damaged(let detail)):
                report.corrupt += await setAside(id, from: folder, detail: detail) ? 1 : 0
            case .failure(let error):
                guard !error.isMissing else { continue }
                report.unreadable += 1
                logger.error("queue file cannot be read", metadata: ["queue_id": "\(id)", "error": "\(error)"])
            }
        }
    }

    /// Reads a file; one whose delivery was interrupted goes back to `deferred`, due now.
    private static func recover(
        _ id: QueueID, from folder: SpoolFolder, now: Timestamp, in directory: SpoolDirectory
    ) -> Result<SpoolRecord, SpoolError> {
        do throws(SpoolError) {
            var record = try directory.load(id, in: folder)
            guard folder != .hold, folder != .deferred else { return .success(record) }
            record.nextAttempt = now
            try directory.setNextAttempt(now, of: id, in: folder)
            try directory.move(id, from: folder, to: .deferred)
            return .success(record)
        } catch { return .failure(error) }
    }

    /// Puts a file that cannot be understood into `corrupt/`. False when even that failed.
    func setAside(_ id: QueueID, from folder: SpoolFolder, detail: String) async -> Bool {
        do throws(SpoolError) {
            try await pool.run { [directory] () throws(SpoolError) in try directory.setAside(id, from: folder) }
            logger.error("queue file moved to corrupt", metadata: ["queue_id": "\(id)", "error": "\(detail)"])
            return true
        } catch {
            logger.error("queue file is damaged and cannot be moved", metadata: ["queue_id": "\(id)", "error": "\(error)"])
            return false
        }
    }

    /// Makes a file that is in the spool a message of the queue.
    func adopt(_ id: QueueID, _ record: SpoolRecord, in folder: SpoolFolder) {
        ids.noteExisting(id)
        // A time far ahead comes from a clock that was set back; nobody waits longer than the longest back-off.
        let now = time.now
        var entry = entry(for: record.envelope, in: folder, next: min(record.nextAttempt, now + longestBackoff))
        if !entry.hasPending || isExpired(entry) { entry.next = now }
        entries[id] = entry
        plan(id)
    }

    /// Reports that a crash interrupted come before any delivery: one that is on disk already must not be sent and forgotten before
    /// its original knows of it.
    private func finishOwedReports() async {
        for id in entries.filter({ $0.value.isUnfinished && $0.value.folder != .hold }).keys {
            entries[id]?.activity = .attempt
            await finish(Attempt(id: id, flush: nil, unthrottle: false, domains: []))
        }
    }
}
