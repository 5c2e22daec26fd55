// Where relay domains live.

/// Keeps the relay domains. A change is durable when the call returns.
public protocol RelayDomainStore: Sendable {
    /// All of them, in the order of their names; read once at start.
    func all() async throws(StoreError) -> [RelayDomain]
    /// Writes this relay domain over what the store holds under its name.
    func put(_ relayDomain: RelayDomain) async throws(StoreError)
    /// Drops it; one that is not there is no error.
    func remove(_ domain: DomainName) async throws(StoreError)
    /// Writes and drops these in one transaction: all or nothing.
    func apply(put: [RelayDomain], remove: [DomainName]) async throws(StoreError)
}
