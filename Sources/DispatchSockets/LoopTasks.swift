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

    private struct Assignment {
        let operation: LoopTasks.Operation
    }

    nonisolated let loop: EventLoop
    // Unsafe, because it is used outside of tasks too: only on the loop, which `begin` and `end` check and `work` is isolated to.
    private nonisolated(unsafe) var idle: [UnsafeContinuation<Assignment?, Never>] = []
    private nonisolated(unsafe) var isEnded = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(_ loop: EventLoop) { self.loop = loop }

    nonisolated func begin(_ operation: @escaping LoopTasks.Operation) {
        loop.preconditionCurrent()
        if let worker = idle.popLast() {
            loop.runAtOnce { worker.resume(returning: Assignment(operation: operation)) }
        } else {
            assumeIsolated { $0.employ(Assignment(operation: operation)) }
        }
    }

    private func employ(_ first: Assignment) {
        // Preferring the loop, too: a continuation is resumed on no actor, which without a preference is the global executor.
        loop.runAtOnce { _ = Task(executorPreference: loop) { await self.work(first) } }
    }

    private func work(_ first: Assignment) async {
        var next: Assignment? = first
        while let assignment = next {
            await assignment.operation()
            guard !isEnded, idle.count < Self.maximumIdle else { return }
            next = await withUnsafeContinuation { idle.append($0) }
        }
    }

    nonisolated func end() {
        loop.preconditionCurrent()
        isEnded = true
        for worker in idle { worker.resume(returning: nil) }
        idle = []
    }
}
