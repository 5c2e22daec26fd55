// The per-destination log files below `flush/`.

import DispatchSockets
import FlushCore
import Glibc
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

    public let path: String
    private let pool: IOPool
    private let logger: Logger
    /// Held while files change: one change at a time, also when the pool has several threads. Only threads of the pool wait for it.
    private let changing = Mutex(())

    /// Makes the directory when it is not there. Blocks; meant for the start.
    ///
    /// - Parameter stateDirectory: it must be there.
    public init(stateDirectory: String, pool: IOPool, logger: Logger) throws(StoreError) {
        path = "\(stateDirectory)/\(Self.directoryName)"
        self.pool = pool
        self.logger = logger
        try StateDirectory.ensureDirectory(path)
        // What a kill in the middle of a rewrite left.
        unlink(temporaryPath)
    }

    // MARK: FlushLogStore

    public func load(_ receive: @Sendable (DomainName, [QueueID]) async -> Void) async throws(StoreError) -> Int {
        let directory = try await pool.run { [path] () throws(StoreError) in try LogDirectory(path) }
        var skipped = 0
        while true {
            let batch = try await pool.run { [self] () throws(StoreError) in try nextBatch(of: directory) }
            for log in batch.logs { await receive(log.domain, log.ids) }
            for reason in batch.skippedLogs.prefix(max(0, Self.maximumNamed - skipped)) {
                logger.warning("skipped in the flush logs", metadata: ["reason": "\(reason)"])
            }
            skipped += batch.skippedLogs.count + batch.skippedLines
            guard !batch.isLast else { return skipped }
        }
    }

    public func apply(_ changes: [FlushLogChange]) async throws(StoreError) {
        try await pool.run { [self] () throws(StoreError) in try carryOut(changes) }
    }

    // MARK: On a thread of the pool

    private struct Batch: Sendable {
        var logs: [(domain: DomainName, ids: [QueueID])] = []
        var skippedLogs: [String] = []
        var skippedLines = 0
        var isLast = false
    }

    private func nextBatch(of directory: LogDirectory) throws(StoreError) -> Batch {
        var batch = Batch()
        var ids = 0
        for _ in 0..<Self.maximumBatchLogs where ids < Self.maximumBatchIDs {
            guard let name = try directory.next() else {
                batch.isLast = true
                break
            }
            // A file of ours is named exactly as its domain is written.
            guard let domain = DomainName(name), domain.description == name else {
                batch.skippedLogs.append("\(name.debugDescription): not named after a domain")
                continue
            }
            do {
                let content = try LogFile(path: path(of: domain)).read()
                batch.skippedLines += content.skippedLines
                batch.logs.append((domain, content.ids))
                ids += content.ids.count
            } catch .noSuchFileOrDirectory {
                // Removed since the directory was read.
            } catch {
                batch.skippedLogs.append("\(name): \(error)")
            }
        }
        return batch
    }

    /// Carries out every change that can be: a log that cannot be written must not keep all others from being written.
    private func carryOut(_ changes: [FlushLogChange]) throws(StoreError) {
        let failure = changing.withLock { _ in
            var failure: StoreError?
            for change in changes {
                let domain = change.domain
                do throws(Errno) {
                    do throws(Errno) { try carryOut(change) } catch .noSuchFileOrDirectory {
                        // Somebody has removed the directory: make it again, once.
                        guard mkdir(path, StateDirectory.directoryMode) == 0 || errno == EEXIST else { throw Errno(rawValue: errno) }
                        try carryOut(change)
                    }
                } catch {
                    failure = failure ?? StateDirectory.failure(path(of: domain), error)
                }
            }
            return failure
        }
        if let failure { throw failure }
    }

    private func carryOut(_ change: FlushLogChange) throws(Errno) {
        switch change {
        case .append(let domain, let ids): try LogFile(path: path(of: domain)).append(ids)
        case .rewrite(let domain, let ids): try LogFile(path: path(of: domain)).rewrite(ids, through: temporaryPath)
        case .remove(let domain): try LogFile(path: path(of: domain)).remove()
        }
    }

    private func path(of domain: DomainName) -> String { "\(path)/\(domain)" }

    /// No domain begins with a dot.
    private var temporaryPath: String { "\(path)/.rewrite" }
}

extension FlushLogChange {
    fileprivate var domain: DomainName {
        switch self {
        case .append(let domain, _), .rewrite(let domain, _), .remove(let domain): domain
        }
    }
}
