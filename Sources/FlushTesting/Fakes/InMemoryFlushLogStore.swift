// Flush logs in memory, which can be told to fail.

import FlushCore
import Synchronization

/// A fake `FlushLogStore`.
public final class InMemoryFlushLogStore: FlushLogStore {
    private struct State {
        var logs: [DomainName: [QueueID]]
        var skipped = 0
        var changes: [FlushLogChange] = []
        var loadFailure: StoreError?
        var failure: StoreError?
        var changesUntilFailure = 0
    }

    private let state: Mutex<State>

    public init(_ logs: [DomainName: [QueueID]] = [:]) { state = Mutex(State(logs: logs)) }

    /// What is kept now; an ID may come twice, as in a file.
    public var logs: [DomainName: [QueueID]] { state.withLock { $0.logs } }

    /// Every change that was carried out, in order.
    public var changes: [FlushLogChange] { state.withLock { $0.changes } }

    /// What `load` says it skipped.
    public var skipped: Int {
        get { state.withLock { $0.skipped } }
        set { state.withLock { $0.skipped = newValue } }
    }

    public var loadFailure: StoreError? {
        get { state.withLock { $0.loadFailure } }
        set { state.withLock { $0.loadFailure = newValue } }
    }

    /// From now on `apply` throws `error`, after `changes` more have been carried out; nil ends it.
    public func fail(with error: StoreError?, after changes: Int = 0) {
        state.withLock {
            $0.failure = error
            $0.changesUntilFailure = changes
        }
    }

    public func load(_ receive: @Sendable (DomainName, [QueueID]) async -> Void) async throws(StoreError) -> Int {
        let (failure, logs, skipped) = state.withLock { ($0.loadFailure, $0.logs, $0.skipped) }
        if let failure { throw failure }
        for (domain, ids) in logs.sorted(by: { $0.key < $1.key }) {
            var seen: Set<QueueID> = []
            await receive(domain, ids.filter { seen.insert($0).inserted })
        }
        return skipped
    }

    public func apply(_ changes: [FlushLogChange]) async throws(StoreError) {
        let failure = state.withLock { state -> StoreError? in
            for change in changes {
                if let failure = state.failure {
                    guard state.changesUntilFailure > 0 else { return failure }
                    state.changesUntilFailure -= 1
                }
                state.changes.append(change)
                switch change {
                case .append(_, let ids) where ids.isEmpty: break
                case .append(let domain, let ids): state.logs[domain, default: []] += ids
                case .rewrite(let domain, let ids): state.logs[domain] = ids
                case .remove(let domain): state.logs[domain] = nil
                }
            }
            return nil
        }
        if let failure { throw failure }
    }
}
