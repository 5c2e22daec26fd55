// Disk work that is done when the scheduler says so.

import DiskPort

/// The pool of threads of a simulated process. A piece of work is done in one go, a crash within it excepted.
struct SimulatedWorker: DiskWorker {
    let scheduler: Scheduler

    nonisolated(nonsending) func run<T: Sendable, E: Error>(_ work: @Sendable @escaping () throws(E) -> T) async throws(E) -> T {
        let result: Result<T, E> = await withCheckedContinuation { continuation in
            scheduler.addDiskWork {
                do throws(E) { continuation.resume(returning: .success(try work())) } catch { continuation.resume(returning: .failure(error)) }
            }
        }
        return try result.get()
    }
}
