// The relay domains in memory, for whoever must decide without waiting.

import Synchronization

/// All relay domains as they are in force. Read from any thread; written by `FlushServer` alone, after the store has written.
public final class RelayDomainDirectory: Sendable {
    private struct State {
        var all: [DomainName: RelayDomain] = [:]
        /// In order, so that a page costs a page.
        var names: [DomainName] = []
    }

    /// More names than this at once are sorted together; fewer find their places one by one.
    private static let maximumSingleChanges = 64

    private let state = Mutex(State())

    public init() {}

    public subscript(domain: DomainName) -> RelayDomain? { state.withLock { $0.all[domain] } }

    public var count: Int { state.withLock { $0.all.count } }

    /// The relay domain that takes mail for `domain`: itself or the nearest one above it.
    public func covering(_ domain: DomainName) -> RelayDomain? {
        state.withLock { state in
            guard !state.all.isEmpty else { return nil }
            var candidate: DomainName? = domain
            while let name = candidate {
                if let found = state.all[name] { return found }
                candidate = name.parent
            }
            return nil
        }
    }

    func all() -> [DomainName: RelayDomain] { state.withLock { $0.all } }

    /// In the order of their names, from the first after `domain`; with `owner` only that one's.
    func page(after domain: DomainName?, owner: String?, limit: Int) -> [RelayDomain] {
        state.withLock { state in
            var found: [RelayDomain] = []
            var position = domain.map { Self.position(of: $0, in: state.names) } ?? 0
            if position < state.names.count, state.names[position] == domain { position += 1 }
            while position < state.names.count, found.count < limit {
                if let next = state.all[state.names[position]], owner == nil || next.owner == owner { found.append(next) }
                position += 1
            }
            return found
        }
    }

    func change(put: [RelayDomain] = [], remove: [DomainName] = []) {
        state.withLock { state in
            let isSingle = put.count + remove.count <= Self.maximumSingleChanges
            for domain in remove where state.all.removeValue(forKey: domain) != nil && isSingle {
                state.names.remove(at: Self.position(of: domain, in: state.names))
            }
            for relayDomain in put where state.all.updateValue(relayDomain, forKey: relayDomain.domain) == nil && isSingle {
                state.names.insert(relayDomain.domain, at: Self.position(of: relayDomain.domain, in: state.names))
            }
            if !isSingle { state.names = state.all.keys.sorted() }
        }
    }

    /// Where `domain` stands or would stand.
    private static func position(of domain: DomainName, in names: [DomainName]) -> Int {
        var low = 0
        var high = names.count
        while low < high {
            let middle = (low + high) / 2
            if names[middle] < domain { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
