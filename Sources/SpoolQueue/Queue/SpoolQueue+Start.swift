// From the files to the entries, after a start.

import DiskPort
import FlushCore
import HashTreeCollections
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

    /// Reads the whole spool, finishes what a crash interrupted, and begins to deliver.
    ///
    /// - Throws: when the spool's directories cannot be read. Single files that cannot be are counted and logged.
    public func start() async throws(SpoolError) -> SpoolStart {
        try await begin()
        // A stop meanwhile has let go of the spool.
        do throws(SpoolError) { try await fill { _ in } } catch { if isServing { throw error } }
        return found
    }

    /// Opens the queue: mail may be taken in, and questions be asked, once it has returned. The first `scan` reads the waiting messages,
    /// which are many, and begins to deliver.
    ///
    /// What a crash interrupted changes its place before anybody sees it; that is what was on its way, and not what waits.
    ///
    /// - Throws: when the spool's directories cannot be read.
    public func begin() async throws(SpoolError) {
        precondition(phase == .opened, "a spool queue is started once")
        found.abandoned = try await pool.run { [directory] () throws(SpoolError) in try directory.emptyTemporary() }
        for folder in [SpoolFolder.incoming, .active, .hold] {
            let ids = try await list(folder)
            for start in stride(from: 0, to: ids.count, by: Self.filesPerRead) {
                _ = await take(ids[start..<min(start + Self.filesPerRead, ids.count)], from: folder)
            }
        }
        // The directory that has gained names first: one that is durably without them would not be.
        // And `bounces`: a report found there counts as made, which its original is told durably.
        for folder in [SpoolFolder.bounces, .deferred, .incoming, .active] {
            try await pool.run { [directory] () throws(SpoolError) in try directory.sync(folder) }
        }
        let kept = try await pool.run { [directory] () throws(SpoolError) in try directory.list(.bounces).ids }
        keptReports = kept.count
        // A report's ID follows from its original's: an ID given again would take a kept report's place.
        for id in kept { ids.noteExisting(id) }
        // A stop meanwhile has let go of the spool.
        if phase == .opened { phase = .filling }
    }

    /// Reads the waiting messages, hands each page to `receive`, and begins to deliver. After a failure it may be called again.
    ///
    /// Deliveries begin last: a report that is on disk already must not be sent and forgotten before its original is known.
    func fill(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(SpoolError) {
        try checkIsFilling()
        guard !isFilling else { throw .system(operation: "read the spool twice at once", code: 0) }
        isFilling = true
        defer { isFilling = false }
        let ids = try await list(.deferred)
        let known = entries.map { queued($0.key, $0.value) }
        for start in stride(from: 0, to: known.count, by: Self.pageSize) {
            await receive(Array(known[start..<min(start + Self.pageSize, known.count)]))
        }
        for start in stride(from: 0, to: ids.count, by: Self.filesPerRead) {
            try checkIsFilling()
            let page = await take(ids[start..<min(start + Self.filesPerRead, ids.count)], from: .deferred)
            if !page.isEmpty { await receive(page) }
        }
        lookedAt = []
        await finishOwedReports()
        try checkIsFilling()
        found.messages = entries.count
        logger.info(
            "spool read",
            metadata: [
                "messages": "\(found.messages)", "interrupted": "\(found.interrupted)", "abandoned": "\(found.abandoned)",
                "corrupt": "\(found.corrupt)", "unreadable": "\(found.unreadable)",
            ])
        phase = .running
        pump()
        arm()
        Task { await forgetOrphanedNotes() }
    }

    /// Removes notes about messages that are gone: a crash came between the removal of the one and of the other.
    private func forgetOrphanedNotes() async {
        guard let noted = try? await pool.run({ [directory] () throws(SpoolError) in try directory.list(.notes).ids }) else { return }
        let orphaned = noted.filter { entries[$0] == nil }
        for start in stride(from: 0, to: orphaned.count, by: Self.filesPerRead) {
            let page = orphaned[start..<min(start + Self.filesPerRead, orphaned.count)]
            await pool.run { [directory] in for id in page { directory.removeNotes(about: id) } }
        }
    }

    /// A queue that is read in part must not be taken for all there is.
    private func checkIsFilling() throws(SpoolError) {
        guard phase == .filling else { throw .system(operation: "read the spool while stopping", code: 0) }
    }

    /// The messages of a folder, whose IDs are never given again.
    private func list(_ folder: SpoolFolder) async throws(SpoolError) -> [QueueID] {
        let (listed, foreign, newest) = try await pool.run { [directory] () throws(SpoolError) in
            let (ids, foreign) = try directory.list(folder)
            // IDs sort by their time. Those too that will turn out to be unreadable: a new message of that ID would replace them.
            var newest: QueueID?
            for id in ids where newest.map({ id > $0 }) ?? true {
                if SpoolID.time(of: id) != nil { newest = id }
            }
            return (ids, foreign, newest)
        }
        if let newest { ids.noteExisting(newest) }
        found.unreadable += foreign
        return listed
    }

    /// Makes these files messages of the queue, but for those that it knows by now. Returns what it has made.
    private func take(_ page: ArraySlice<QueueID>, from folder: SpoolFolder) async -> [QueuedMessage] {
        let now = time.now
        let unknown = page.filter { isUnknown($0) }
        guard !unknown.isEmpty else { return [] }
        let records = await pool.run { [directory] in
            unknown.map { id in Self.recover(id, from: folder, now: now, in: directory) }
        }
        var taken: [QueuedMessage] = []
        for (id, record) in zip(unknown, records) where isUnknown(id) {
            switch record {
            case .success(let record):
                let home: SpoolFolder = folder == .hold ? .hold : .deferred
                if home != folder { found.interrupted += 1 }
                adopt(id, record, in: home)
                if let entry = entries[id] { taken.append(queued(id, entry)) }
            case .failure(.damaged(let detail)):
                if await setAside(id, from: folder, detail: detail) { found.corrupt += 1 }
            case .failure(let error):
                guard !error.isMissing else { continue }
                found.unreadable += 1
                logger.error("queue file cannot be read", metadata: ["queue_id": "\(id)", "error": "\(error)"])
            }
        }
        return taken
    }

    /// Nobody has made an entry of it, or is about to.
    private func isUnknown(_ id: QueueID) -> Bool { entries[id] == nil && !arriving.contains(id) && !lookedAt.contains(id) }

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
        let owing = await pool.run { [entries] in entries.filter { $0.value.isUnfinished && $0.value.folder != .hold }.map(\.key) }
        for id in owing {
            if looks[id] != nil { await refresh(id) }
            guard entries[id]?.activity == .idle, entries[id]?.folder != .hold else { continue }
            entries[id]?.activity = .attempt
            await finish(Attempt(id: id, flush: nil, unthrottle: false, domains: []))
        }
    }
}
