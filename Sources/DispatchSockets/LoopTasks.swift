// Tasks that stay on the loop.

/// Begins tasks that are isolated to a loop's executor.
///
/// A task that only prefers the loop is queued anew for each call of an actor on this loop, and once more for the way back; from here such
/// a call is a plain one. What never really waits is done before `begin` returns.
public actor LoopTasks {
    private nonisolated let loop: EventLoop

    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    public init(_ loop: EventLoop) { self.loop = loop }

    /// Runs `operation` until it waits for something, and the rest when that has come. Only on the loop.
    public nonisolated func begin(_ operation: nonisolated(nonsending) @escaping @Sendable () async -> Void) {
        assumeIsolated { $0.run(operation) }
    }

    private func run(_ operation: nonisolated(nonsending) @escaping @Sendable () async -> Void) {
        // No preferred executor: one that the calling context has not been told of would mean a detour by the queue again.
        Task.immediate { await self.perform(operation) }
    }

    private func perform(_ operation: nonisolated(nonsending) @Sendable () async -> Void) async { await operation() }
}
