// Destinations, messages and kept reports in words.

import FlushCore
import FlushWire

public enum MailText {
    public static func domains(_ domains: [DomainSummary], at now: Timestamp, width: Int = Table.usualWidth, style: Style = .plain) -> [String] {
        guard !domains.isEmpty else { return ["no domains"] }
        var table = Table([
            .init("DOMAIN", mayShrink: true), .init("STATE"), .init("MESSAGES", isNumber: true), .init("SIZE", isNumber: true),
            .init("OLDEST", isNumber: true), .init("LAST REASON", mayShrink: true),
        ])
        for domain in domains {
            table.add([
                domain.domain.description, domain.state.rawValue, String(domain.messages), size(domain.bytes), age(domain.oldestArrival, at: now),
                domain.lastReason ?? "",
            ])
        }
        return table.lines(width: width, style: style)
    }

    public static func domain(_ detail: DomainDetail, at now: Timestamp, style: Style = .plain) -> [String] {
        let summary = detail.summary
        let isInternational = summary.domain.unicode != summary.domain.description
        var facts = [
            ("Domain", summary.domain.description + (isInternational ? " (\(summary.domain.unicode))" : "")),
            ("State", "\(summary.state.rawValue), an ETRN is \(summary.mode.rawValue)"),
            ("Waiting", summary.messages == 0 ? "nothing" : "\(count(summary.messages, "message")), \(size(summary.bytes))"),
        ]
        if summary.oldestArrival != nil { facts.append(("Oldest", age(summary.oldestArrival, at: now))) }
        if let reason = summary.lastReason { facts.append(("Reason", reason)) }
        if let last = summary.lastFlush { facts.append(("Last flush", "\(last.id), \(last.state.rawValue), \(age(last.at, at: now)) ago")) }
        var lines = pairs(facts, style: style)
        guard summary.messages > 0 else { return lines }
        var table = Table([.init("YOUNGER THAN", isNumber: true), .init("MESSAGES", isNumber: true)])
        for (name, number) in zip(DomainDetail.ageBucketNames, detail.ageBuckets) where number > 0 {
            table.add([name.description.hasSuffix("+") ? "older" : name.description, String(number)])
        }
        lines += [""] + table.lines(style: style)
        return lines
    }

    public static func messages(
        _ messages: [MessageDescription], at now: Timestamp, width: Int = Table.usualWidth, style: Style = .plain
    ) -> [String] {
        guard !messages.isEmpty else { return ["no messages"] }
        var table = Table([
            .init("QUEUE ID", mayShrink: true), .init("AGE", isNumber: true), .init("SIZE", isNumber: true), .init("SENDER", mayShrink: true),
            .init("RECIPIENTS", mayShrink: true), .init("REASON", mayShrink: true),
        ])
        for message in messages {
            let first = message.recipients.first?.address ?? ""
            let others = message.recipients.count > 1 ? " +\(message.recipients.count - 1)" : ""
            table.add([
                message.id.description, age(message.arrival, at: now), size(message.size), message.sender.isEmpty ? "<>" : message.sender,
                first + others, reason(message) ?? "",
            ])
        }
        return table.lines(width: width, style: style)
    }

    public static func message(_ message: MessageDescription, at now: Timestamp, style: Style = .plain) -> [String] {
        var facts = [
            ("Queue ID", message.id.description), ("Place", message.place.wireName.replacing("_", with: " ")),
            ("Arrival", "\(message.arrival.rfc3339) (\(age(message.arrival, at: now)) ago)"), ("Size", size(message.size)),
            ("Sender", message.sender.isEmpty ? "<>" : message.sender),
        ]
        for recipient in message.recipients {
            facts.append(("Recipient", "\(recipient.address), \(recipient.state.rawValue)\(recipient.reason.map { ": \($0)" } ?? "")"))
        }
        if let next = message.nextAttempt { facts.append(("Next try", "in \(span(next - now))")) }
        for note in message.history { facts.append(("Attempt", "\(note.at.rfc3339) \(note.recipient): \(note.result): \(note.text)")) }
        return pairs(facts, style: style)
    }

    public static func bounces(_ reports: [KeptReport], at now: Timestamp, width: Int = Table.usualWidth, style: Style = .plain) -> [String] {
        guard !reports.isEmpty else { return ["no kept reports"] }
        var table = Table([
            .init("QUEUE ID", mayShrink: true), .init("AGE", isNumber: true), .init("FOR", mayShrink: true), .init("NOT REACHED", mayShrink: true),
            .init("REASON", mayShrink: true),
        ])
        for report in reports {
            let others = report.recipients.count > 1 ? " +\(report.recipients.count - 1)" : ""
            table.add([
                report.id.description, age(report.arrival, at: now), report.sender.isEmpty ? "<>" : report.sender,
                (report.recipients.first ?? "") + others, report.reason,
            ])
        }
        return table.lines(width: width, style: style)
    }

    private static func reason(_ message: MessageDescription) -> String? {
        message.recipients.last { $0.state == .pending && $0.reason != nil }?.reason
    }
}

/// Names and what they stand for, a line each.
func pairs(_ facts: [(String, String)], style: Style) -> [String] {
    let width = facts.map(\.0.count).max() ?? 0
    return facts.map { name, text in
        style.heading(name) + String(repeating: " ", count: width - name.count + 2) + safe(text)
    }
}
