// An answer, or the way to one.

/// What is said to a question on the loop: most answers come from memory, and need no task.
public enum Answer<Value: Sendable>: Sendable {
    public typealias Work = nonisolated(nonsending) @Sendable () async -> Value

    case now(Value)
    /// It has to be waited for; carried out once, by a task that stays on the loop (`LoopTasks`).
    case later(Work)

    /// The answer, whenever it is there.
    nonisolated(nonsending) public func value() async -> Value {
        switch self {
        case .now(let value): value
        case .later(let work): await work()
        }
    }
}
