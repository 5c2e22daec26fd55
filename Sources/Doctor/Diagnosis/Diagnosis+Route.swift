// Whether the domain's mail has a way out: Postfix's tables, and the server at the other end.

import FlushCore

extension Diagnosis {
    /// Whether Postfix takes mail for it from outside.
    static func accepted(_ listed: PostfixRouting.Listed, _ name: DomainName, relayDomain: RelayDomain?) -> Finding {
        let subject = "relay_domains in main.cf"
        switch (listed, relayDomain?.state) {
        case (.yes(let item), _): return .ok(subject, "\(name) is matched by \(item)")
        case (.unknown(let reason), _):
            return .warning(
                subject, "whether \(name) is in it could not be found out: \(reason)", advice: "try postmap -q \(name) with each of its tables")
        case (.no, .draining?): return .ok(subject, "\(name) is not in it, as it is draining")
        case (.no, .active?):
            return .failure(
                subject, "\(name) is provisioned here, but Postfix does not know it: mail for it is refused",
                advice: "run deploy/postfix/setup, which adds etrnd's table to relay_domains")
        case (.no, nil):
            return .warning(
                subject, "\(name) is not in it: Postfix takes no mail for it from outside, unless as another kind of domain",
                advice: "provision it with PUT /relay-domains/\(name), if it is a site of yours")
        }
    }

    /// Where Postfix sends its mail.
    static func route(
        _ route: PostfixRouting.Route, _ name: DomainName, relayDomain: RelayDomain?, deferTransports: String, at directory: String
    ) -> Finding {
        let subject = "transport_maps"
        let hasSetup = "run deploy/postfix/setup, which adds etrnd's table to transport_maps"
        switch route {
        case .unknown(let reason):
            return .warning(subject, "the way of \(name) could not be found out: \(reason)", advice: "try postmap -q \(name) with each of its tables")
        case .none:
            guard let relayDomain else { return .ok(subject, "no row for \(name): Postfix looks its mail exchangers up") }
            return .failure(
                subject, "no row for \(name): Postfix looks its mail exchangers up, and does not use the next hop \(relayDomain.nextHop)",
                advice: hasSetup)
        case .row(let table, let key, let value):
            let way = "\(key) in \(table) says \(value)"
            let parts = value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let isDeferred = deferTransports.split { $0 == "," || $0.isWhitespace }.contains { $0 == parts[0] }
            guard let relayDomain else {
                return .ok(subject, isDeferred ? "\(way), a transport of defer_transports: its mail waits until somebody asks" : way)
            }
            let hop = parts.count == 2 ? try? NextHop(parsing: String(parts[1])) : nil
            if let hop, hop != relayDomain.nextHop {
                return .warning(
                    subject, "\(way), but the provisioned next hop is \(relayDomain.nextHop): another table comes first",
                    advice: "remove that row, or put etrnd's table before it")
            }
            if relayDomain.delivery == .etrnOnly, !isDeferred {
                return .warning(
                    subject, "\(way), and \(parts[0]) is not in defer_transports: mail for this etrn-only domain is tried at once",
                    advice: "postconf -c \(directory) -e 'defer_transports=etrn-only' (and the line etrn-only in master.cf, see deploy/postfix)")
            }
            return .ok(subject, isDeferred ? "\(way), which waits until somebody asks" : way)
        }
    }

    static func nextHop(_ facts: NextHopFacts) -> Finding {
        let subject = "next hop \(facts.nextHop)"
        let advice = "the site has to open its mail server to this machine; when it is up, ask again"
        switch facts.outcome {
        case .usesMX: return .ok(subject, "without brackets: Postfix looks its mail exchangers up, which is not tried here")
        case .lookUpFailed(let reason):
            return .failure(subject, "its address cannot be found: \(reason)", advice: "correct the next hop, or the DNS (getent ahosts)")
        case .tried(let attempts):
            guard let last = attempts.last else {
                return .failure(subject, "its name has no address", advice: "correct the next hop, or the DNS (getent ahosts)")
            }
            if case .heard(let banner) = last.conversation, banner.hasPrefix("220") {
                let before = attempts.count > 1 ? ", after \(attempts.count - 1) that did not" : ""
                return .ok(subject, "\(last.address) greets\(before): \(banner)")
            }
            return .failure(
                subject, "takes no mail: " + attempts.map { "\($0.address): \(refusal($0.conversation))" }.joined(separator: ", "), advice: advice)
        }
    }

    /// Why a conversation was no welcome.
    static func refusal(_ conversation: Conversation) -> String {
        switch conversation {
        case .heard(let text): "it says '\(text)'"
        case .silent: "connected, but no greeting came in time"
        case .closed: "it hangs up without a greeting"
        case .unreachable(let reason): reason
        }
    }
}
