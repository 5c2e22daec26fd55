// Where mail may go, as the wiring tells the spool.

import FlushCore

/// The relay domains, from the spool's point of view.
///
/// Called on the way of every recipient and of every attempt: the answer comes from memory. The implementation knows that a relay
/// domain covers its subdomains.
public protocol MailRoutes: Sendable {
    /// The route for mail to this domain; nil when it belongs to no relay domain.
    func route(for domain: DomainName) -> MailRoute?
}

/// How mail for a domain travels.
public struct MailRoute: Sendable, Equatable {
    /// The spool cannot look up MX records: one that uses them takes no new mail, and what is queued waits with that reason.
    public var nextHop: NextHop
    /// The mail waits until somebody asks for it.
    public var etrnOnly: Bool
    /// New mail is taken; false for a draining domain.
    public var acceptsNew: Bool

    public init(nextHop: NextHop, etrnOnly: Bool = false, acceptsNew: Bool = true) {
        self.nextHop = nextHop
        self.etrnOnly = etrnOnly
        self.acceptsNew = acceptsNew
    }
}
