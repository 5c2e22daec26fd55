// Takes the tasks that the Swift runtime would run on threads of its own.

import Glibc

/// The runtime's hook for tasks that run on no executor in particular; set once, for the whole process.
enum GlobalTasks {
    private typealias Enqueue = @convention(thin) (UnownedJob) -> Void
    private typealias Hook = @convention(thin) (UnownedJob, Enqueue) -> Void

    /// Who gets the tasks.
    // Safe: read and written by the simulation's one thread only.
    nonisolated(unsafe) static weak var scheduler: Scheduler?

    /// False when the runtime has no such hook, or does not call it.
    static func take(for scheduler: Scheduler) -> Bool {
        Self.scheduler = scheduler
        if isTaken { return true }
        guard let symbol = dlsym(dlopen(nil, RTLD_NOW), "swift_task_enqueueGlobal_hook") else { return false }
        symbol.assumingMemoryBound(to: Hook?.self).pointee = { job, enqueue in
            if let scheduler = GlobalTasks.scheduler { scheduler.anyThread.add(job) } else { enqueue(job) }
        }
        // Tried out: a task that came to run elsewhere would break every seed's promise.
        Task { @concurrent in }
        isTaken = !scheduler.isIdle && scheduler.run(atMost: 10)
        return isTaken
    }

    private nonisolated(unsafe) static var isTaken = false
}
