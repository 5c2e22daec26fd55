// Whether an ETRN for the domain does anything: eligible, recorded, asked for before.

import FlushCore
import FlushWire
import PostfixQueue

extension Diagnosis {
    static func domain(_ domain: DomainFacts, postfix: PostfixFacts?) -> [Finding] {
        switch domain.name {
        case .addressLiteral(let text):
            return [
                .failure(
                    "domain", "\(text) is an address: mail for user@[address] has no domain, is not recorded, and cannot be asked for",
                    advice: "ask for the domain of the waiting mail; GET /domains lists what waits")
            ]
        case .invalid(let text, let reason):
            return [.failure("domain", "'\(text)' is no domain name: \(reason)", advice: "give the part right of the @ of an address")]
        case .good(let name):
            var findings: [Finding] = []
            if let record = domain.record { findings += self.record(record, of: name) }
            if let routing = domain.routing, let mainCf = postfix?.mainCf, let directory = postfix?.configurationDirectory {
                findings.append(accepted(routing.relayDomains, name, relayDomain: domain.record?.relayDomain))
                findings.append(
                    route(
                        routing.transport, name, relayDomain: domain.record?.relayDomain, deferTransports: mainCf["defer_transports"] ?? "",
                        at: directory))
            }
            if let nextHop = domain.nextHop { findings.append(self.nextHop(nextHop)) }
            return findings
        }
    }

    static func record(_ record: DomainFacts.Record, of name: DomainName) -> [Finding] {
        var findings = [eligibility(record.preview, of: name), relayDomain(record.relayDomain, of: name)]
        if let summary = record.summary {
            findings.append(waiting(summary, record.places))
            if let flush = record.lastFlush {
                findings.append(lastFlush(flush))
            } else if summary.lastFlush == nil {
                findings.append(.ok("last flush", "nobody has asked for \(name) yet"))
            }
        }
        return findings
    }

    static func eligibility(_ preview: DomainFacts.Record.Preview, of name: DomainName) -> Finding {
        let subject = "ETRN \(name)"
        let listing = "add \(name) to fast_flush_domains in etrnd.cf, or provision it as a relay domain"
        switch preview {
        case .flush(let flush) where flush.mode == .fast:
            return .ok(subject, "fast: touches its own mail only, \(messages(flush.matched)) at this moment")
        case .flush(let flush):
            return .warning(
                subject,
                "slow: fast_flush_domains does not match it, so the whole queue is tried (\(messages(flush.matched))), at most once in "
                    + "slow_flush_interval",
                advice: listing)
        case .refused(.notEligible(_, let reason)): return .failure(subject, "refused: \(reason)", advice: listing)
        case .refused(.queueUnavailable(let reason)):
            return .failure(subject, "cannot be carried out: \(reason)", advice: "mend what was found above, then ask again")
        case .refused(.limited(let retryAfter)):
            return .warning(subject, "too much is under way", advice: "ask again in \(retryAfter.components.seconds) s")
        case .refused(.messageNotFound), .refused(.messageBusy), .refused(.unsupported), .refused(.versionMismatch), .refused(.mailQueued),
            .refused(.tooManyRemovals), .refused(.ownedByOther):
            return .failure(subject, "the daemon refuses it", advice: "read the daemon's log")
        }
    }

    static func relayDomain(_ relayDomain: RelayDomain?, of name: DomainName) -> Finding {
        let subject = "relay domain"
        guard let relayDomain else { return .ok(subject, "\(name) is not provisioned by the API, nor is a parent of it") }
        let which = relayDomain.domain == name ? "\(name)" : "\(name) belongs to \(relayDomain.domain), which"
        let delivery =
            switch relayDomain.delivery {
            case .normal: "its mail is tried at once and again with pauses"
            case .etrnOnly: "etrn-only, its mail waits until somebody asks"
            }
        switch relayDomain.state {
        case .active: return .ok(subject, "\(which) goes to \(relayDomain.nextHop): \(delivery)")
        case .draining:
            return .warning(
                subject, "\(which) is draining: no new mail is taken for it; what is queued still goes to \(relayDomain.nextHop) (\(delivery))",
                advice: "set its state to active with PUT /relay-domains/\(relayDomain.domain), if that is not meant")
        }
    }

    static func waiting(_ summary: DomainSummary, _ places: DomainFacts.Record.Places) -> Finding {
        let subject = "waiting mail"
        guard summary.messages > 0 else { return .ok(subject, "none for \(summary.domain): an ETRN has nothing to deliver") }
        let oldest = summary.oldestArrival.map { ", the oldest of \($0.rfc3339)" } ?? ""
        let reason = summary.lastReason.map { "; the last attempt said: \($0)" } ?? ""
        let text = "\(messages(summary.messages))\(oldest)\(reason)"
        guard places.held > 0 else {
            return .ok(subject, places.inDelivery > 0 ? "\(text); of the first \(places.looked), \(places.inDelivery) in delivery now" : text)
        }
        return .warning(
            subject, "\(text); of the first \(places.looked), \(places.held) on hold, which an ETRN does not touch",
            advice: "postsuper -H QUEUE_ID releases one, postsuper -H ALL all")
    }

    static func lastFlush(_ flush: Flush) -> Finding {
        let subject = "last flush"
        let reason = flush.lastReason.map { "; \($0)" } ?? ""
        let text =
            "\(flush.requestedAt.rfc3339) via \(flush.via.rawValue) by \(flush.requestedBy), \(flush.state.rawValue): "
            + "\(messages(flush.matched)) matched, \(flush.delivered) delivered, \(flush.deferredAgain) deferred again, "
            + "\(flush.bounced) bounced, \(flush.departed) departed, \(flush.unreleased) not released, \(flush.open) open\(reason)"
        guard flush.state == .finished, flush.deferredAgain + flush.unreleased > 0 else { return .ok(subject, text) }
        return .warning(subject, text, advice: "see the reason, and the next hop below; ask again when it is up")
    }

    static func messages(_ count: Int) -> String { "\(count) message\(count == 1 ? "" : "s")" }
}
