// Flushes in words.

import FlushCore
import FlushWire

public enum FlushText {
    /// Whose mail a flush is about.
    public static func name(_ selector: FlushSelector) -> String {
        switch selector {
        case .domain(let domain, let subdomains): (subdomains ? "@" : "") + domain.description
        case .message(let id): "message \(id)"
        case .everything: "the whole queue"
        }
    }

    /// What has come of it so far, in one line.
    public static func counts(_ flush: Flush) -> String {
        var parts = [count(flush.matched, "message")]
        func add(_ number: Int, _ words: String) { if number > 0 { parts.append("\(number) \(words)") } }
        add(flush.released, "released")
        add(flush.delivered, "delivered")
        add(flush.deferredAgain, "deferred again")
        add(flush.bounced, "bounced")
        add(flush.departed, "gone")
        add(flush.inDelivery, "in delivery")
        add(flush.held, "on hold")
        add(flush.vanished, "no longer there")
        if flush.state != .running { add(flush.open, "without outcome") }
        if flush.state != .running { add(flush.unreleased, "not released") }
        return parts.joined(separator: ", ")
    }

    /// The flush as it was asked for: one line, and what is unusual about it.
    public static func asked(_ flush: Flush, at now: Timestamp, style: Style = .plain) -> [String] {
        let name = style.heading(name(flush.selector))
        if flush.dryRun {
            let oldest = flush.oldestArrival.map { ", the oldest \(span(now - $0)) old" } ?? ""
            let amount = flush.matched == 0 ? "no messages" : "\(count(flush.matched, "message")) (\(size(flush.matchedBytes)))\(oldest)"
            return ["\(name): would match \(amount)\(flush.mode == .slow ? "; slow: everything would be tried" : "")"]
        }
        var lines: [String] = []
        if flush.matched == 0, flush.state != .running {
            lines.append("\(name): no messages waiting")
        } else {
            lines.append("\(name): \(count(flush.matched, "message")) matched (\(size(flush.matchedBytes))), flush \(flush.id)")
        }
        if flush.coalesced { lines.append("  joins a flush that was under way") }
        if let scheduled = flush.scheduledAt { lines.append("  slow: starts in \(span(scheduled - now)), when slow_flush_interval has passed") }
        if flush.mode == .slow, flush.scheduledAt == nil, case .domain = flush.selector { lines.append("  slow: the whole queue is tried") }
        return lines
    }

    /// A line of a flush's progress, at most `width` characters.
    public static func progress(_ flush: Flush, width: Int) -> String {
        let reason = flush.lastReason.map { "; \(safe($0))" } ?? ""
        return cut("\(name(flush.selector)): \(counts(flush))\(reason)", to: width)
    }

    /// The flush when it has ended, or when nobody waits for it any longer.
    public static func result(_ flush: Flush, style: Style = .plain) -> [String] {
        let state =
            switch flush.state {
            case .running: style.caution("still running")
            case .finished: leftBehind(flush) == 0 && flush.bounced == 0 ? style.good("finished") : style.caution("finished")
            case .cancelled: style.caution("cancelled")
            case .interrupted: style.bad("interrupted")
            }
        var lines = ["\(style.heading(name(flush.selector))): \(state): \(counts(flush))"]
        if let reason = flush.lastReason, flush.delivered < flush.matched { lines.append("  \(safe(reason))") }
        return lines
    }

    /// Messages that wait still, or of which nobody knows.
    public static func leftBehind(_ flush: Flush) -> Int {
        flush.deferredAgain + flush.unreleased + flush.held + flush.inDelivery + flush.open
    }

    public static func list(_ flushes: [Flush], at now: Timestamp, width: Int = Table.usualWidth, style: Style = .plain) -> [String] {
        guard !flushes.isEmpty else { return ["no flushes"] }
        var table = Table([
            .init("ID"), .init("AGE", isNumber: true), .init("STATE"), .init("DOMAIN", mayShrink: true), .init("MATCHED", isNumber: true),
            .init("DONE", isNumber: true), .init("LEFT", isNumber: true),
        ])
        for flush in flushes {
            let whose =
                switch flush.selector {
                case .domain: name(flush.selector)
                case .message(let id): "message \(id)"
                case .everything: "(everything)"
                }
            table.add([
                flush.id.description, age(flush.requestedAt, at: now), flush.state.rawValue, whose, String(flush.matched),
                String(flush.delivered + flush.bounced + flush.departed + flush.vanished), String(leftBehind(flush)),
            ])
        }
        return table.lines(width: width, style: style)
    }
}
