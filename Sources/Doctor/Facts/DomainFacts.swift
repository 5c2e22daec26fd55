// What was seen of the domain in question.

import FlushCore

/// A domain: its name, its record, its relay domain, its way.
struct DomainFacts: Sendable, Equatable {
    enum Name: Equatable, Sendable {
        case good(DomainName)
        case addressLiteral(String)
        case invalid(String, reason: String)
    }

    /// What the daemon says; nil when it could not be asked.
    struct Record: Equatable, Sendable {
        enum Preview: Equatable, Sendable {
            case flush(Flush)
            case refused(FlushError)
        }

        /// Where the first messages of the domain are.
        struct Places: Equatable, Sendable {
            var looked = 0
            var held = 0
            var inDelivery = 0
        }

        /// What an ETRN would do at this moment.
        var preview: Preview
        /// Nil when nothing is recorded for it and no list matches it.
        var summary: DomainSummary?
        var places = Places()
        var lastFlush: Flush?
        /// The relay domain that covers it: its own, or that of a parent.
        var relayDomain: RelayDomain?
    }

    var name: Name
    var record: Record?
    var routing: PostfixRouting?
    var nextHop: NextHopFacts?
}

/// What Postfix makes of mail for the domain.
struct PostfixRouting: Sendable, Equatable {
    enum Listed: Equatable, Sendable {
        case yes(by: String)
        case no
        case unknown(String)
    }

    enum Route: Equatable, Sendable {
        case row(table: String, key: String, value: String)
        case none
        case unknown(String)
    }

    /// In `relay_domains`.
    var relayDomains: Listed
    /// In `transport_maps`.
    var transport: Route
}

/// What happens at the site's door.
struct NextHopFacts: Equatable, Sendable {
    struct Attempt: Equatable, Sendable {
        var address: String
        var conversation: Conversation
    }

    enum Outcome: Equatable, Sendable {
        /// MX records are Postfix's business.
        case usesMX
        case lookUpFailed(String)
        /// In the order of the addresses, up to the first that greets.
        case tried([Attempt])
    }

    var nextHop: String
    var outcome: Outcome
}
