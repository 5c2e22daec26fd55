// One thread for everything that a simulated process does; the seed chooses what comes next.

import FlushTesting

/// Runs tasks, blocking work and actors a piece at a time.
///
/// The pieces of the loop (the actors') keep their order, as on an event loop. Pieces of tasks that run nowhere in particular come in any
/// order, as on a pool of threads, and so does disk work, a few pieces of which are under way at once.
// @unchecked: the simulation has one thread. `GlobalTasks` brings every piece here that would run on another.
final class Scheduler: SerialExecutor, TaskExecutor, @unchecked Sendable {
    /// What tasks without an executor of their own run on.
    final class AnyThread: TaskExecutor, @unchecked Sendable {
        // @unchecked: as the scheduler.
        fileprivate var jobs: [UnownedJob] = []

        func enqueue(_ job: consuming ExecutorJob) { jobs.append(UnownedJob(job)) }
        func add(_ job: UnownedJob) { jobs.append(job) }
    }

    /// Pieces of disk work that are under way at once.
    static let diskWidth = 4

    let anyThread = AnyThread()
    private var random: SeededRandom
    private var loopJobs: [UnownedJob] = []
    private var nextLoopJob = 0
    private var diskWork: [() -> Void] = []
    private(set) var steps = 0

    init(random: SeededRandom) { self.random = random }

    func enqueue(_ job: consuming ExecutorJob) { loopJobs.append(UnownedJob(job)) }

    func addDiskWork(_ work: @escaping () -> Void) { diskWork.append(work) }

    var isIdle: Bool { nextLoopJob == loopJobs.count && anyThread.jobs.isEmpty && diskWork.isEmpty }

    /// Runs one piece; false when there is none.
    ///
    /// - Parameter diskStands: disk work does not get on.
    func step(diskStands: Bool = false) -> Bool {
        let onLoop = nextLoopJob < loopJobs.count ? 1 : 0
        let onDisk = diskStands ? 0 : min(diskWork.count, Self.diskWidth)
        let total = onLoop + anyThread.jobs.count + onDisk
        guard total > 0 else { return false }
        steps += 1
        var choice = total == 1 ? 0 : Int(random.next() % UInt64(total))
        if choice < onLoop {
            runLoopJob()
            return true
        }
        choice -= onLoop
        if choice < anyThread.jobs.count {
            anyThread.jobs.remove(at: choice).runSynchronously(on: anyThread.asUnownedTaskExecutor())
        } else {
            diskWork.remove(at: choice - anyThread.jobs.count)()
        }
        return true
    }

    private func runLoopJob() {
        let job = loopJobs[nextLoopJob]
        nextLoopJob += 1
        if nextLoopJob == loopJobs.count {
            loopJobs.removeAll(keepingCapacity: true)
            nextLoopJob = 0
        }
        job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
    }

    /// Runs pieces until there are none, at most `limit`. Returns whether it came to rest.
    func run(atMost limit: Int) -> Bool {
        for _ in 0..<limit where !step() { return true }
        return isIdle
    }
}
