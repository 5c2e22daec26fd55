// Tasks that stay on the loop.

/// Begins tasks that are isolated to a loop's executor.
///
/// A task that only prefers the loop is queued anew for each call of an actor on this loop, and once more for the way back; from here such
/// a call is a plain one. What never really waits is done before `begin` returns.
///
/// Whoever is done waits for the next operation: to make a task costs more than most answers.
public final class LoopTasks: Sendable {
    public typealias Operation = nonisolated(nonsending) @Sendable () async -> Void

    private let workers: LoopWorkers

    public init(_ loop: EventLoop) { workers = LoopWorkers(loop) }

    deinit {
        // From the loop alone; who waits there would wait for ever, and hold the loop.
        let workers = self.workers
        workers.loop.execute { workers.end() }
    }

    /// Runs `operation` until it waits for something, and the rest when that has come. Only on the loop.
    public func begin(_ operation: @escaping Operation) {
        workers.begin(operation)
    }
}

/// The tasks of one `LoopTasks`: each carries out one operation after the other.
private actor LoopWorkers {
    /// Workers kept for what comes; beyond them a worker ends with its operation.
    static let maximumIdle = 64

    nonisolated let loop: EventLoop
    // Unsafe, because it is used outside of tasks too: only on the loop, which `begin` and `end` check and `work` is isolated to.
    /// What the worker that is woken next is to do; it takes it at once, so there is one at most.
    private nonisolated(unsafe) var assigned: [LoopTasks.Operation] = []
    /// Who waits; told false, it ends.
    private nonisolated(unsafe) var idle: [UnsafeContinuation<Bool, Never>] = []
    private nonisolated(unsafe) var isEnded = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(_ loop: EventLoop) { self.loop = loop }

    nonisolated func begin(_ operation: @escaping LoopTasks.Operation) {
        loop.preconditionCurrent()
        assigned.append(operation)
        if let worker = idle.popLast() {
            loop.runAtOnce { worker.resume(returning: true) }
        } else {
            assumeIsolated { $0.employ() }
        }
    }

    private func employ() {
        // Preferring the loop, too: a continuation is resumed on no actor, which without a preference is the global executor.
        // Detached: what the first asker's task has of its own is no business of the later ones'.
        loop.runAtOnce { _ = Task.detached(executorPreference: loop) { await self.work() } }
    }

    private func work() async {
        repeat {
            await carryOutNext()
            guard !isEnded, idle.count < Self.maximumIdle else { return }
        } while await withUnsafeContinuation({ idle.append($0) })
    }

    /// A function of its own, so that nothing of the operation outlives it: it may hold whoever owns the `LoopTasks`.
    private func carryOutNext() async {
        await assigned.popLast()?()
    }

    nonisolated func end() {
        loop.preconditionCurrent()
        isEnded = true
        for worker in idle { worker.resume(returning: false) }
        idle = []
    }
}
