// What waits: destinations, messages, kept reports.

import FlushCore
import FlushWire

extension APIClient {
    /// `GET /domains`
    public func domains(
        prefix: String? = nil, waitingOnly: Bool = false, cursor: String? = nil, limit: Int = 100
    ) async throws(FlushClientError) -> AnswerPage<DomainSummary> {
        var endpoint = Endpoint("GET", "domains")
        endpoint.query("prefix", prefix)
        endpoint.query("waiting", waitingOnly)
        endpoint.query("limit", limit)
        endpoint.query("cursor", cursor)
        return try await exchange.read(endpoint) { (answer) throws(InvalidAnswer) in try DomainSummary.page(answer: answer) }
    }

    /// `GET /domains/{domain}`
    public func domain(_ name: DomainName) async throws(FlushClientError) -> DomainDetail? {
        try await optional { () async throws(FlushClientError) in
            try await exchange.read(Endpoint("GET", "domains", name.description)) { (answer) throws(InvalidAnswer) in
                try DomainDetail(answer: answer)
            }
        }
    }

    /// `GET /domains/{domain}/messages`
    public func messages(
        for domain: DomainName, cursor: String? = nil, limit: Int = 100
    ) async throws(FlushClientError) -> AnswerPage<MessageDescription>? {
        var endpoint = Endpoint("GET", "domains", domain.description, "messages")
        endpoint.query("limit", limit)
        endpoint.query("cursor", cursor)
        return try await optional { [endpoint] () async throws(FlushClientError) in
            try await exchange.read(endpoint) { (answer) throws(InvalidAnswer) in try MessageDescription.page(answer: answer) }
        }
    }

    /// `GET /messages/{queue_id}`
    public func message(_ id: QueueID) async throws(FlushClientError) -> MessageDescription {
        try await exchange.read(Endpoint("GET", "messages", id.description)) { (answer) throws(InvalidAnswer) in
            try MessageDescription(answer: answer)
        }
    }

    /// `DELETE /messages/{queue_id}`
    public func removeMessage(_ id: QueueID) async throws(FlushClientError) {
        try await exchange.order(Endpoint("DELETE", "messages", id.description))
    }

    /// `GET /bounces`
    public func bounces(cursor: String? = nil, limit: Int = 100) async throws(FlushClientError) -> AnswerPage<KeptReport> {
        var endpoint = Endpoint("GET", "bounces")
        endpoint.query("limit", limit)
        endpoint.query("cursor", cursor)
        return try await exchange.read(endpoint) { (answer) throws(InvalidAnswer) in try KeptReport.page(answer: answer) }
    }

    /// `GET /bounces/{queue_id}`
    public func bounce(_ id: QueueID) async throws(FlushClientError) -> KeptReport? {
        try await optional { () async throws(FlushClientError) in
            try await exchange.read(Endpoint("GET", "bounces", id.description)) { (answer) throws(InvalidAnswer) in try KeptReport(answer: answer) }
        }
    }

    /// `DELETE /bounces/{queue_id}`
    ///
    /// - Returns: false when there was none.
    public func removeBounce(_ id: QueueID) async throws(FlushClientError) -> Bool {
        try await optional { () async throws(FlushClientError) in
            try await exchange.order(Endpoint("DELETE", "bounces", id.description))
        } != nil
    }
}
