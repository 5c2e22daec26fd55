// A domain that we take mail for, as provisioned.

/// A relay domain: itself and its subdomains are accepted and go to its next hop.
public struct RelayDomain: Sendable, Equatable {
    public enum Delivery: String, Sendable, CaseIterable {
        /// Tried at once, then with back-off.
        case normal
        /// Waits until somebody asks: for a site that is not always connected.
        case etrnOnly = "etrn-only"
    }

    public enum State: String, Sendable, CaseIterable {
        case active
        /// No new mail is taken; what is queued can still be flushed and routed.
        case draining
    }

    public var domain: DomainName
    public var nextHop: NextHop
    public var delivery: Delivery
    public var state: State
    /// At most 1,000 bytes.
    public var comment: String
    /// Who provisions it; at most 255 bytes.
    public var owner: String
    /// Grows by one with each change.
    public var version: Int
    public var createdAt: Timestamp
    public var updatedAt: Timestamp
    public var updatedBy: String

    /// Names this version and no other, that of an earlier relay domain of the same name included.
    public var tag: String { "\(version)-\(createdAt.microseconds)" }

    public init(
        domain: DomainName, nextHop: NextHop, delivery: Delivery = .normal, state: State = .active, comment: String = "", owner: String = "",
        version: Int = 1, createdAt: Timestamp, updatedAt: Timestamp, updatedBy: String = ""
    ) {
        self.domain = domain
        self.nextHop = nextHop
        self.delivery = delivery
        self.state = state
        self.comment = comment
        self.owner = owner
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.updatedBy = updatedBy
    }
}
