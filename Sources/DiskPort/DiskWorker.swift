// Who carries out what blocks.

import DispatchSockets

/// Runs blocking work away from the caller's executor: the pool of threads, or a simulation that chooses when it is done.
public protocol DiskWorker: Sendable {
    /// Runs `work`; the task waits for it where it is. Work that has begun runs to its end, even when the task is cancelled.
    nonisolated(nonsending) func run<T: Sendable, E: Error>(_ work: @Sendable @escaping () throws(E) -> T) async throws(E) -> T
}

extension IOPool: DiskWorker {}
