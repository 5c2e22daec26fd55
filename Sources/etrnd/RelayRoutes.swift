// The spool's view of the relay domains.

import FlushCore
import SpoolQueue

/// Routes by the provisioned relay domains; takes new mail for what `relay_domains` matches.
struct RelayRoutes: MailRoutes {
    let directory: RelayDomainDirectory
    let relayDomains: DomainList

    func route(for domain: DomainName) -> MailRoute? {
        guard let relayDomain = directory.covering(domain) else { return nil }
        let isListed = relayDomains.match(domain, store: { directory[$0] != nil }) == .yes
        // What was accepted before a list changed keeps its way out; new mail is a stranger's.
        return MailRoute(
            nextHop: relayDomain.nextHop, etrnOnly: relayDomain.delivery == .etrnOnly, acceptsNew: isListed && relayDomain.state == .active)
    }
}
