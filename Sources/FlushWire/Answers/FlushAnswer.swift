// A flush out of an answer.

import FlushCore

extension Flush {
    public init(answer: JSONValue) throws(InvalidAnswer) { try self.init(AnswerReader(answer)) }

    public static func page(answer: JSONValue) throws(InvalidAnswer) -> AnswerPage<Flush> {
        try AnswerPage(answer, "flushes") { (reader) throws(InvalidAnswer) in try Flush(reader) }
    }

    init(_ reader: AnswerReader) throws(InvalidAnswer) {
        let selector: FlushSelector
        if let domain = try reader.parsedOrNull("domain", { DomainName($0) }) {
            selector = .domain(domain, subdomains: try reader.flag("subdomains"))
        } else if let queueID = try reader.parsedOrNull("queue_id", { QueueID($0) }) {
            selector = .message(queueID)
        } else {
            selector = .everything
        }
        self.init(
            id: try reader.parsed("id") { FlushID($0) }, selector: selector, mode: try reader.choice("mode"), state: try reader.choice("state"),
            via: try reader.choice("via"), requestedBy: try reader.text("requested_by"), note: try reader.textOrNull("note"),
            requestedAt: try reader.time("requested_at"))
        scheduledAt = try reader.timeOrNull("scheduled_at")
        finishedAt = try reader.timeOrNull("finished_at")
        coalesced = try reader.flag("coalesced")
        dryRun = try reader.flag("dry_run")
        matched = try reader.count("matched")
        matchedBytes = try reader.count("matched_bytes")
        oldestArrival = try reader.timeOrNull("oldest_arrival")
        released = try reader.count("released")
        inDelivery = try reader.count("in_delivery")
        held = try reader.count("held")
        vanished = try reader.count("vanished")
        delivered = try reader.count("delivered")
        deferredAgain = try reader.count("deferred_again")
        bounced = try reader.count("bounced")
        departed = try reader.count("departed")
        open = try reader.count("open")
        lastReason = try reader.textOrNull("last_reason")
    }
}
