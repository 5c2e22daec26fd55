// The relay domains in memory, for whoever must decide without waiting.

import Synchronization

/// All relay domains as they are in force. Read from any thread; written by `FlushServer` alone, after the store has written.
public final class RelayDomainDirectory: Sendable {
    private let relayDomains = Mutex<[DomainName: RelayDomain]>([:])

    public init() {}

    public subscript(domain: DomainName) -> RelayDomain? { relayDomains.withLock { $0[domain] } }

    public var count: Int { relayDomains.withLock { $0.count } }

    /// The relay domain that takes mail for `domain`: itself or the nearest one above it.
    public func covering(_ domain: DomainName) -> RelayDomain? {
        relayDomains.withLock { all in
            var candidate: DomainName? = domain
            while let name = candidate {
                if let found = all[name] { return found }
                candidate = name.parent
            }
            return nil
        }
    }

    func all() -> [DomainName: RelayDomain] { relayDomains.withLock { $0 } }

    func change(put: [RelayDomain] = [], remove: [DomainName] = []) {
        relayDomains.withLock { all in
            for domain in remove { all[domain] = nil }
            for relayDomain in put { all[relayDomain.domain] = relayDomain }
        }
    }
}
