// Asking for delivery, and following it.

import DispatchSockets
import FlushCore
import FlushWire
import HTTPServer
import HTTPTypes

extension ControlAPI {
    /// `POST /etrn/{domain}`
    @Sendable func requestDelivery(_ request: Request, _ principal: Principal) throws -> Answer<Response> {
        let domain = try request.pathDomain()
        return try flush(request, principal, isDomain: true) { .domain(domain, subdomains: $0) }
    }

    /// `POST /messages/{queue_id}/flush`
    @Sendable func flushMessage(_ request: Request, _ principal: Principal) throws -> Answer<Response> {
        let id = try request.pathQueueID()
        return try flush(request, principal, isDomain: false) { _ in .message(id) }
    }

    /// `POST /queue/flush`
    @Sendable func flushQueue(_ request: Request, _ principal: Principal) throws -> Answer<Response> {
        try flush(request, principal, isDomain: false) { _ in .everything }
    }

    private func flush(
        _ request: Request, _ principal: Principal, isDomain: Bool, selector: (_ subdomains: Bool) -> FlushSelector
    ) throws -> Answer<Response> {
        var query = QueryReader(request, known: isDomain ? ["dry_run", "wait", "note", "subdomains", "fast_only"] : ["dry_run", "wait", "note"])
        let subdomains = query.flag("subdomains")
        let isFastOnly = query.flag("fast_only")
        let isDryRun = query.flag("dry_run")
        let patience = query.integer("wait", in: 0...Self.maximumWaitSeconds, default: 0)
        let note = query.text("note", maximumLength: FlushRequest.maximumNoteLength)
        try query.finish()
        try request.refuseBody()

        let wanted = FlushRequest(selector(subdomains), via: .http, requestedBy: principal.name, note: note, mayFlushAll: !isFastOnly)
        if isDryRun {
            return later {
                let preview = try await service.preview(wanted)
                return .json { preview.write(to: &$0) }
            }
        }
        guard let flush = try service.flushAtHand(wanted) else {
            return later { try await answer(service.flush(wanted), within: patience) }
        }
        if patience > 0, flush.state == .running { return later { try await answer(flush, within: patience) } }
        return .now(answer(flush))
    }

    /// - Parameter patience: in seconds.
    private func answer(_ asked: Flush, within patience: Int) async throws -> Response {
        guard patience > 0, asked.state == .running else { return answer(asked) }
        var flush = try await service.flush(asked.id, waitingFor: .seconds(patience)) ?? asked
        flush.coalesced = asked.coalesced
        return answer(flush)
    }

    private func answer(_ flush: Flush) -> Response {
        guard flush.state == .running else { return .json { flush.write(to: &$0) } }
        return .json(.accepted, fields: [.location: "/flushes/\(flush.id)"]) { flush.write(to: &$0) }
    }

    /// `GET /flushes`
    @Sendable func listFlushes(_ request: Request, _ principal: Principal) async throws -> Response {
        var query = QueryReader(request, known: ["domain", "state", "limit", "cursor"])
        let limit = query.limit()
        let wanted = FlushQuery(
            domain: query.domain("domain"), state: query.choice("state"), before: query.cursor { FlushID($0) }, limit: limit + 1)
        try query.finish()

        let flushes = try await service.flushes(wanted)
        let next = flushes.count > limit ? flushes[limit - 1].id.description : nil
        return .page("flushes", flushes.prefix(limit), next: next, of: request) { $0.write(to: &$1) }
    }

    /// `GET /flushes/{id}`
    @Sendable func getFlush(_ request: Request, _ principal: Principal) async throws -> Response {
        let id = try request.pathFlushID()
        var query = QueryReader(request, known: ["wait"])
        let patience = query.integer("wait", in: 0...Self.maximumWaitSeconds, default: 0)
        try query.finish()

        guard let flush = try await service.flush(id, waitingFor: .seconds(patience)) else { throw unknownFlush(id) }
        return .json { flush.write(to: &$0) }
    }

    /// `DELETE /flushes/{id}`
    @Sendable func cancelFlush(_ request: Request, _ principal: Principal) async throws -> Response {
        let id = try request.pathFlushID()
        try QueryReader(request).finish()
        try request.refuseBody()

        guard let flush = try await service.cancel(id) else { throw unknownFlush(id) }
        return .json { flush.write(to: &$0) }
    }

    /// A waiting request holds a connection and a task; proxies give up at 60 seconds.
    private static let maximumWaitSeconds = 30

    private func unknownFlush(_ id: FlushID) -> Problem { .notFound("No flush has the ID \(id), or it is so old that it is forgotten.") }
}
