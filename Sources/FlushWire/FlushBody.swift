// A flush as openapi.yaml has it.

import FlushCore
import JSONText

extension Flush {
    public func write(to writer: inout JSONWriter) {
        writer.object { json in
            json.field("id", id.description)
            switch selector {
            case .domain(let domain, let subdomains):
                json.field("domain", domain.description)
                json.field("queue_id", nil as String?)
                json.field("subdomains", subdomains)
            case .message(let queueID):
                json.field("domain", nil as String?)
                json.field("queue_id", queueID.description)
                json.field("subdomains", false)
            case .everything:
                json.field("domain", nil as String?)
                json.field("queue_id", nil as String?)
                json.field("subdomains", false)
            }
            json.field("mode", mode.rawValue)
            json.field("state", state.rawValue)
            json.field("via", via.rawValue)
            json.field("requested_by", requestedBy)
            json.field("requested_at", requestedAt)
            json.field("scheduled_at", scheduledAt)
            json.field("finished_at", finishedAt)
            json.field("coalesced", coalesced)
            json.field("dry_run", dryRun)
            json.field("note", note)
            writeCounts(to: &json)
        }
    }

    private func writeCounts(to json: inout JSONWriter) {
        json.field("matched", matched)
        json.field("matched_bytes", matchedBytes)
        json.field("oldest_arrival", oldestArrival)
        json.field("released", released)
        json.field("in_delivery", inDelivery)
        json.field("held", held)
        json.field("vanished", vanished)
        json.field("unreleased", unreleased)
        json.field("delivered", delivered)
        json.field("deferred_again", deferredAgain)
        json.field("bounced", bounced)
        json.field("departed", departed)
        json.field("open", open)
        json.field("last_reason", lastReason)
    }
}
