// One sync of a directory for everybody who waits for one.

import DiskPort
import FlushCore

/// Syncs a directory for several callers at once.
///
/// A call is served by a sync that begins after it: whoever comes while one is running waits for the next, together with all others
/// who came meanwhile. Twenty connections that commit at the same time cost two syncs instead of twenty.
actor DirectorySync {
    private let directory: SpoolDirectory
    private let folder: SpoolFolder
    private let pool: any DiskWorker
    private let executor: any SerialExecutor
    private var waiting: [CheckedContinuation<SpoolError?, Never>] = []
    private var isRunning = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ folder: SpoolFolder, of directory: SpoolDirectory, pool: any DiskWorker, executor: any SerialExecutor) {
        self.directory = directory
        self.folder = folder
        self.pool = pool
        self.executor = executor
    }

    /// Returns when what was done in the directory before the call is on disk.
    func sync() async throws(SpoolError) {
        let failure = await withCheckedContinuation { continuation in
            waiting.append(continuation)
            guard !isRunning else { return }
            isRunning = true
            Task { await run() }
        }
        if let failure { throw failure }
    }

    private func run() async {
        while !waiting.isEmpty {
            let served = waiting
            waiting = []
            let failure: SpoolError?
            do throws(SpoolError) {
                try await pool.run { [directory, folder] () throws(SpoolError) in try directory.sync(folder) }
                failure = nil
            } catch { failure = error }
            for continuation in served { continuation.resume(returning: failure) }
        }
        isRunning = false
    }
}
