// Asking for delivery, and following it.

import FlushCore
import FlushWire

extension APIClient {
    /// How a flush is asked for.
    public struct FlushOptions: Sendable {
        /// Tell what would be matched, and touch nothing.
        public var dryRun = false
        /// How long to wait for the flush's end; at most `longestServerWait` seconds count.
        public var wait = Duration.zero
        public var note: String?
        /// Refuse where only a slow flush could be done.
        public var fastOnly = false

        public init() {}
    }

    /// `POST /etrn/{domain}`, `/messages/{queue_id}/flush` or `/queue/flush`
    public func flush(_ selector: FlushSelector, _ options: FlushOptions = FlushOptions()) async throws(FlushClientError) -> Flush {
        var endpoint: Endpoint
        switch selector {
        case .domain(let domain, let subdomains):
            endpoint = Endpoint("POST", "etrn", domain.description)
            endpoint.query("subdomains", subdomains)
            endpoint.query("fast_only", options.fastOnly)
        case .message(let id): endpoint = Endpoint("POST", "messages", id.description, "flush")
        case .everything: endpoint = Endpoint("POST", "queue", "flush")
        }
        let wait = Self.serverWait(options.wait)
        endpoint.query("dry_run", options.dryRun)
        endpoint.query("wait", wait == 0 ? nil : wait)
        endpoint.query("note", options.note)
        endpoint.serverWait = .seconds(wait)
        return try await exchange.read(endpoint) { (answer) throws(InvalidAnswer) in try Flush(answer: answer) }
    }

    /// `GET /flushes/{id}`: as it is now, or within the wait as soon as it has ended. At most `longestServerWait` seconds count.
    public func flush(_ id: FlushID, wait: Duration = .zero) async throws(FlushClientError) -> Flush? {
        var endpoint = Endpoint("GET", "flushes", id.description)
        let seconds = Self.serverWait(wait)
        endpoint.query("wait", seconds == 0 ? nil : seconds)
        endpoint.serverWait = .seconds(seconds)
        return try await optional { [endpoint] () async throws(FlushClientError) in
            try await exchange.read(endpoint) { (answer) throws(InvalidAnswer) in try Flush(answer: answer) }
        }
    }

    /// `GET /flushes`
    public func flushes(
        domain: DomainName? = nil, state: Flush.State? = nil, cursor: String? = nil, limit: Int = 100
    ) async throws(FlushClientError) -> AnswerPage<Flush> {
        var endpoint = Endpoint("GET", "flushes")
        endpoint.query("domain", domain?.description)
        endpoint.query("state", state?.rawValue)
        endpoint.query("limit", limit)
        endpoint.query("cursor", cursor)
        return try await exchange.read(endpoint) { (answer) throws(InvalidAnswer) in try Flush.page(answer: answer) }
    }

    /// `DELETE /flushes/{id}`
    public func cancelFlush(_ id: FlushID) async throws(FlushClientError) -> Flush? {
        try await optional { () async throws(FlushClientError) in
            try await exchange.read(Endpoint("DELETE", "flushes", id.description)) { (answer) throws(InvalidAnswer) in try Flush(answer: answer) }
        }
    }
}
