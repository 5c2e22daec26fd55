// What provisioning may ask: relay domains, one by one or as a desired state.

/// The relay domains, for provisioning.
public protocol RelayDomainService: Sendable {
    /// In the order of their names, from the first after `domain`.
    func relayDomains(after domain: DomainName?, owner: String?, limit: Int) async throws(FlushError) -> [RelayDomain]

    func relayDomain(_ domain: DomainName) async throws(FlushError) -> RelayDomain?

    /// Writes one; durable and in force when it returns. What is the same already is left alone, version included.
    func putRelayDomain(
        _ draft: RelayDomainDraft, for domain: DomainName, by author: String, if conditions: [VersionCondition]
    ) async throws(FlushError) -> (relayDomain: RelayDomain, isNew: Bool)

    /// Drops one. Refused with `.mailQueued` while mail waits for it, unless forced.
    ///
    /// - Returns: false when there was none.
    func removeRelayDomain(_ domain: DomainName, force: Bool, if conditions: [VersionCondition]) async throws(FlushError) -> Bool

    /// Makes an owner's relay domains exactly these, all or nothing; those of other owners stay.
    func replaceRelayDomains(
        _ drafts: [DomainName: RelayDomainDraft], owner: String, by author: String, maximumRemovals: Int?, dryRun: Bool
    ) async throws(FlushError) -> RelayDomainDifference
}

/// Which version of a relay domain a change goes with (RFC 9110, section 13.1).
public enum VersionCondition: Sendable, Equatable {
    /// `If-Match`: it must be at one of these versions.
    case oneOf([String])
    /// `If-Match: *`: it must be there.
    case exists
    /// `If-None-Match`: it must be at none of these versions.
    case noneOf([String])
    /// `If-None-Match: *`: it must not be there.
    case absent

    func holds(for current: RelayDomain?) -> Bool {
        switch self {
        case .oneOf(let tags): current.map { tags.contains($0.tag) } ?? false
        case .exists: current != nil
        case .noneOf(let tags): !(current.map { tags.contains($0.tag) } ?? false)
        case .absent: current == nil
        }
    }
}

/// What an asker may set of a relay domain.
public struct RelayDomainDraft: Sendable, Equatable {
    public var nextHop: NextHop
    public var delivery: RelayDomain.Delivery
    public var state: RelayDomain.State
    public var comment: String
    public var owner: String

    public init(
        nextHop: NextHop, delivery: RelayDomain.Delivery = .normal, state: RelayDomain.State = .active, comment: String = "",
        owner: String = ""
    ) {
        self.nextHop = nextHop
        self.delivery = delivery
        self.state = state
        self.comment = comment
        self.owner = owner
    }
}

/// What a desired state changes.
public struct RelayDomainDifference: Sendable, Equatable {
    public var added: [DomainName]
    public var changed: [DomainName]
    public var removed: [DomainName]
    public var unchanged: Int

    public init(added: [DomainName], changed: [DomainName], removed: [DomainName], unchanged: Int) {
        self.added = added
        self.changed = changed
        self.removed = removed
        self.unchanged = unchanged
    }
}
