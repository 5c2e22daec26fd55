// Relay domains in memory, which can be told to fail.

import FlushCore
import Synchronization

/// A fake `RelayDomainStore`.
public final class InMemoryRelayDomainStore: RelayDomainStore {
    private struct State {
        var relayDomains: [DomainName: RelayDomain] = [:]
        var failure: StoreError?
    }

    private let state: Mutex<State>

    public init(_ relayDomains: [RelayDomain] = []) {
        var state = State()
        for relayDomain in relayDomains { state.relayDomains[relayDomain.domain] = relayDomain }
        self.state = Mutex(state)
    }

    /// What is kept now.
    public var kept: [DomainName: RelayDomain] { state.withLock { $0.relayDomains } }

    /// While set, every call throws it and changes nothing.
    public var failure: StoreError? {
        get { state.withLock { $0.failure } }
        set { state.withLock { $0.failure = newValue } }
    }

    public func all() async throws(StoreError) -> [RelayDomain] {
        let (failure, relayDomains) = state.withLock { ($0.failure, Array($0.relayDomains.values)) }
        if let failure { throw failure }
        return relayDomains.sorted { $0.domain < $1.domain }
    }

    public func put(_ relayDomain: RelayDomain) async throws(StoreError) { try await apply(put: [relayDomain], remove: []) }

    public func remove(_ domain: DomainName) async throws(StoreError) { try await apply(put: [], remove: [domain]) }

    public func apply(put: [RelayDomain], remove: [DomainName]) async throws(StoreError) {
        let failure = state.withLock { state -> StoreError? in
            if let failure = state.failure { return failure }
            for domain in remove { state.relayDomains[domain] = nil }
            for relayDomain in put { state.relayDomains[relayDomain.domain] = relayDomain }
            return nil
        }
        if let failure { throw failure }
    }
}
