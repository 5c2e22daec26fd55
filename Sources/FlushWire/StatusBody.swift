// The status snapshot as openapi.yaml has it.

import FlushCore
import JSONText

extension FlushStatus {
    public func write(to writer: inout JSONWriter, version: String, engine: String) {
        writer.object { json in
            json.field("version", version)
            json.field("engine", engine)
            json.field("started_at", startedAt)
            json.field("index_complete", isIndexComplete)
            json.field("messages", messages)
            json.field("bytes", bytes)
            json.field("oldest_arrival", oldestArrival)
            json.field("domains", domains)
            json.field("domains_waiting", waitingDomains)
            json.field("relay_domains", relayDomains)
            json.field("flushes_running", flushesRunning)
            json.field("flushes_requested", flushesRequested)
            json.field("messages_released", messagesReleased)
            json.field("delivered", delivered)
            json.field("deferred_again", deferredAgain)
            json.field("bounced", bounced)
            json.field("departed", departed)
            json.field("adds", adds)
            json.name("last_reconcile")
            guard let reconcile = lastReconcile else { return json.value(nil) }
            json.object { json in
                json.field("at", reconcile.at)
                json.field("missing", reconcile.missing)
                json.field("stale", reconcile.stale)
                json.field("changed", reconcile.changed)
                json.field("failure", reconcile.failure)
            }
        }
    }
}
