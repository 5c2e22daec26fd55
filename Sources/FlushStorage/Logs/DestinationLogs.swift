// The per-destination log files below `flush/`.

import DiskPort
import DispatchSockets
import FlushCore
import Logging
import Synchronization
import SystemPackage

/// One file per destination in the directory `flush`, named after the domain (its A-label, so no two domains share one), one queue
/// ID a line.
///
/// The files are a cache and a window for operators: nothing is synced, because what a power cut takes the first scan of the queue
/// brings back. A kill may leave a line without its end; it is not read, and the next append cuts it off. A rewrite is whole or not
/// there at all, whenever the process dies.
public final class DestinationLogs: FlushLogStore {
    public static let directoryName = "flush"
    /// What one piece of work reads before the pool's thread is free for others again.
    static let maximumBatchLogs = 64
    static let maximumBatchIDs = 4096
    /// Skipped logs that a load names in the program's log; the rest are only counted.
    static let maximumNamed = 10
    /// No domain begins with a dot.
    private static let temporaryName = ".rewrite"

    public let path: String
    private let disk: any Disk
    private let worker: any DiskWorker
    private let logger: Logger
    /// Held while files change: one change at a time, also when the pool has several threads. Only threads of the pool wait for it.
    private let changing = Mutex(())

    /// Makes the directory when it is not there. Blocks; meant for the start.
    ///
    /// - Parameter stateDirectory: it must be there.
    public convenience init(stateDirectory: String, pool: IOPool, logger: Logger) throws(StoreError) {
        let path = "\(stateDirectory)/\(Self.directoryName)"
        try StateDirectory.ensureDirectory(path)
        try self.init(path: path, disk: SystemDisk(), worker: pool, logger: logger)
    }

    /// - Parameter path: the directory of the files themselves.
    package init(path: String, disk: any Disk, worker: any DiskWorker, logger: Logger) throws(StoreError) {
        self.path = path
        self.disk = disk
        self.worker = worker
        self.logger = logger
    }

    // MARK: FlushLogStore

    public func load(_ receive: @Sendable (DomainName, [QueueID]) async -> Void) async throws(StoreError) -> Int {
        let (folder, names) = try await worker.run { [self] () throws(StoreError) in
            let folder = try openFolder()
            // What a crash in the middle of a rewriting has left.
            changing.withLock { _ in try? folder.remove(Self.temporaryName) }
            do throws(Errno) { return (folder, try folder.names()) } catch { throw StateDirectory.failure(path, error) }
        }
        var skipped = 0
        while true {
            let batch = try await worker.run { [self] () throws(StoreError) in try nextBatch(of: names, in: folder) }
            for log in batch.logs { await receive(log.domain, log.ids) }
            for reason in batch.skippedLogs.prefix(max(0, Self.maximumNamed - skipped)) {
                logger.warning("skipped in the flush logs", metadata: ["reason": "\(reason)"])
            }
            skipped += batch.skippedLogs.count + batch.skippedLines
            guard !batch.isLast else { return skipped }
        }
    }

    public func apply(_ changes: [FlushLogChange]) async throws(StoreError) {
        try await worker.run { [self] () throws(StoreError) in try carryOut(changes) }
    }

    // MARK: On a thread of the pool

    private struct Batch: Sendable {
        var logs: [(domain: DomainName, ids: [QueueID])] = []
        var skippedLogs: [String] = []
        var skippedLines = 0
        var isLast = false
    }

    /// Each time anew: somebody may have removed the directory, or put another in its place.
    private func openFolder() throws(StoreError) -> any DiskFolder {
        do throws(Errno) { return try disk.openFolder(path) } catch { throw StateDirectory.failure(path, error) }
    }

    private func nextBatch(of names: any FolderNames, in folder: any DiskFolder) throws(StoreError) -> Batch {
        var batch = Batch()
        var ids = 0
        for _ in 0..<Self.maximumBatchLogs where ids < Self.maximumBatchIDs {
            guard let name = try nextName(of: names) else {
                batch.isLast = true
                break
            }
            // A file of ours is named exactly as its domain is written.
            guard let domain = DomainName(name), domain.description == name else {
                batch.skippedLogs.append("\(name.debugDescription): not named after a domain")
                continue
            }
            do throws(Errno) {
                let content = try LogFile(folder: folder, name: name).read()
                batch.skippedLines += content.skippedLines
                batch.logs.append((domain, content.ids))
                ids += content.ids.count
            } catch .noSuchFileOrDirectory {
                // Removed since the directory was read.
            } catch .ioError {
                batch.skippedLogs.append("\(name): \(Errno.ioError)")
                // Whoever writes it next makes it anew, and whoever has no mail for it removes it.
                batch.logs.append((domain, []))
            } catch {
                batch.skippedLogs.append("\(name): \(error)")
            }
        }
        return batch
    }

    /// Names that begin with a dot are passed over.
    private func nextName(of names: any FolderNames) throws(StoreError) -> String? {
        while true {
            do throws(Errno) {
                guard let name = try names.next() else { return nil }
                if !name.hasPrefix(".") { return name }
            } catch { throw StateDirectory.failure(path, error) }
        }
    }

    /// Carries out every change that can be: a log that cannot be written must not keep all others from being written.
    private func carryOut(_ changes: [FlushLogChange]) throws(StoreError) {
        let failure = changing.withLock { _ in
            var failure: StoreError?
            var folder: (any DiskFolder)?
            for change in changes {
                do throws(Errno) {
                    let opened = if let folder { folder } else { try disk.openFolder(path) }
                    folder = opened
                    try carryOut(change, in: opened)
                } catch {
                    failure = failure ?? StateDirectory.failure("\(path)/\(change.domain)", error)
                }
            }
            return failure
        }
        if let failure { throw failure }
    }

    private func carryOut(_ change: FlushLogChange, in folder: any DiskFolder) throws(Errno) {
        let file = LogFile(folder: folder, name: change.domain.description)
        switch change {
        case .append(_, let ids): try file.append(ids)
        case .rewrite(_, let ids): try file.rewrite(ids, through: Self.temporaryName)
        case .remove: try file.remove()
        }
    }
}

extension FlushLogChange {
    fileprivate var domain: DomainName {
        switch self {
        case .append(let domain, _), .rewrite(let domain, _), .remove(let domain): domain
        }
    }
}
