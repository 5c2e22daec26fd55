// The service and its relay domains in words.

import FlushCore
import FlushWire

public enum ServiceText {
    public static func status(_ server: ServerStatus, at now: Timestamp, style: Style = .plain) -> [String] {
        let status = server.status
        let oldest = status.oldestArrival.map { ", the oldest \(span(now - $0)) old" } ?? ""
        let outcomes =
            "\(status.delivered) delivered, \(status.deferredAgain) deferred again, \(status.bounced) bounced, \(status.departed) gone"
        var facts = [
            ("Service", "etrnd \(server.version), engine \(server.engine), up \(span(now - status.startedAt))"),
            ("Queue", status.messages == 0 ? "nothing waits" : "\(count(status.messages, "message")), \(size(status.bytes))\(oldest)"),
            ("Domains", "\(status.domains) recorded, \(status.waitingDomains) with mail waiting; \(count(status.relayDomains, "relay domain"))"),
            ("Flushes", "\(status.flushesRunning) running, \(status.flushesRequested) asked for since the start"),
            ("Released", "\(status.messagesReleased): \(outcomes)"),
        ]
        if let last = status.lastReconcile {
            let found = last.failure ?? "\(last.missing) missing, \(last.stale) stale, \(last.changed) changed"
            facts.append(("Compared", "\(age(last.at, at: now)) ago with the queue: \(found)"))
        }
        if !status.isIndexComplete { facts.append(("Index", "not complete yet: the counts may be too low")) }
        return pairs(facts, style: style)
    }

    public static func policy(_ policy: ServerPolicy, style: Style = .plain) -> [String] {
        let lines = policy.parameters.map { parameter in
            "\(parameter.name) = \(safe(parameter.value))" + (parameter.source == "default" ? "" : "    # \(safe(parameter.source))")
        }
        return lines + policy.warnings.map { style.caution("warning: ") + safe($0) }
    }

    public static func relayDomains(_ relayDomains: [RelayDomain], width: Int = Table.usualWidth, style: Style = .plain) -> [String] {
        guard !relayDomains.isEmpty else { return ["no relay domains"] }
        var table = Table([
            .init("DOMAIN", mayShrink: true), .init("NEXT HOP", mayShrink: true), .init("DELIVERY"), .init("STATE"), .init("OWNER", mayShrink: true),
            .init("COMMENT", mayShrink: true),
        ])
        for one in relayDomains {
            table.add([one.domain.description, one.nextHop.description, one.delivery.rawValue, one.state.rawValue, one.owner, one.comment])
        }
        return table.lines(width: width, style: style)
    }

    public static func relayDomain(_ one: RelayDomain, style: Style = .plain) -> [String] {
        var facts = [
            ("Domain", one.domain.description), ("Next hop", one.nextHop.description), ("Delivery", one.delivery.rawValue),
            ("State", one.state.rawValue),
        ]
        if !one.owner.isEmpty { facts.append(("Owner", one.owner)) }
        if !one.comment.isEmpty { facts.append(("Comment", one.comment)) }
        facts.append(("Version", "\(one.version), \(one.updatedAt.rfc3339)\(one.updatedBy.isEmpty ? "" : " by \(one.updatedBy)")"))
        return pairs(facts, style: style)
    }

    public static func difference(_ difference: RelayDomainDifference, dryRun: Bool, style: Style = .plain) -> [String] {
        var lines = difference.added.map { style.good("+ \($0)") }
        lines += difference.changed.map { style.caution("~ \($0)") }
        lines += difference.removed.map { style.bad("- \($0)") }
        let verb = dryRun ? "would be " : ""
        let numbers = [(difference.added.count, "created"), (difference.changed.count, "changed"), (difference.removed.count, "removed")]
        lines.append(numbers.map { "\($0) \(verb)\($1), " }.joined() + "\(difference.unchanged) unchanged")
        return lines
    }
}
