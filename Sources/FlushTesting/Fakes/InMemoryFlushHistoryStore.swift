// Flush history in memory, which can be told to fail.

import FlushCore
import Synchronization

/// A fake `FlushHistoryStore`.
public final class InMemoryFlushHistoryStore: FlushHistoryStore {
    private struct State {
        var flushes: [FlushID: Flush] = [:]
        var saves: [[FlushID]] = []
        var failure: StoreError?
    }

    private let state: Mutex<State>

    public init(_ flushes: [Flush] = []) {
        var state = State()
        for flush in flushes { state.flushes[flush.id] = Self.kept(flush) }
        self.state = Mutex(state)
    }

    /// What is kept now, newest first.
    public var kept: [Flush] { state.withLock { $0.flushes.values.sorted { $0.id > $1.id } } }

    /// The IDs of each `save` that succeeded.
    public var saves: [[FlushID]] { state.withLock { $0.saves } }

    /// While set, every call throws it.
    public var failure: StoreError? {
        get { state.withLock { $0.failure } }
        set { state.withLock { $0.failure = newValue } }
    }

    public func save(_ flushes: [Flush]) async throws(StoreError) {
        try work { state in
            for flush in flushes { state.flushes[flush.id] = Self.kept(flush) }
            state.saves.append(flushes.map(\.id))
        }
    }

    public func flush(_ id: FlushID) async throws(StoreError) -> Flush? {
        try work { $0.flushes[id] }
    }

    public func flushes(_ query: FlushQuery) async throws(StoreError) -> [Flush] {
        try work { state in
            let matching = state.flushes.values.filter { flush in
                if let before = query.before, flush.id >= before { return false }
                if let wanted = query.state, flush.state != wanted { return false }
                return query.domain == nil || Self.domain(of: flush) == query.domain
            }
            return Array(matching.sorted { $0.id > $1.id }.prefix(max(0, query.limit)))
        }
    }

    public func lastFlushes() async throws(StoreError) -> [DomainName: Flush] {
        try work { state in
            var last: [DomainName: Flush] = [:]
            for flush in state.flushes.values.sorted(by: { $0.id < $1.id }) {
                if let domain = Self.domain(of: flush) { last[domain] = flush }
            }
            return last
        }
    }

    public func interruptRunning(at time: Timestamp) async throws(StoreError) -> Int {
        try work { state in
            var count = 0
            for (id, flush) in state.flushes where flush.state == .running {
                state.flushes[id]?.state = .interrupted
                state.flushes[id]?.finishedAt = time
                count += 1
            }
            return count
        }
    }

    public func trim(to count: Int) async throws(StoreError) {
        try work { state in
            for id in state.flushes.keys.sorted(by: >).dropFirst(max(0, count)) { state.flushes[id] = nil }
        }
    }

    private func work<T: Sendable>(_ body: (inout State) -> T) throws(StoreError) -> T {
        let result = state.withLock { state -> Result<T, StoreError> in
            if let failure = state.failure { return .failure(failure) }
            return .success(body(&state))
        }
        return try result.get()
    }

    private static func domain(of flush: Flush) -> DomainName? {
        if case .domain(let domain, _) = flush.selector { domain } else { nil }
    }

    /// What belongs to an answer is not kept.
    private static func kept(_ flush: Flush) -> Flush {
        var flush = flush
        flush.coalesced = false
        flush.dryRun = false
        return flush
    }
}
