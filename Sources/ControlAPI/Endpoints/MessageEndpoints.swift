// Single messages, and the reports that are kept.

import FlushCore
import FlushWire
import HTTPServer

extension ControlAPI {
    /// `GET /messages/{queue_id}`
    @Sendable func getMessage(_ request: Request, _ principal: Principal) async throws -> Response {
        let id = try request.pathQueueID()
        try QueryReader(request).finish()

        let message = try await service.message(id)
        return .json { message.write(to: &$0, withHistory: true) }
    }

    /// `DELETE /messages/{queue_id}`
    @Sendable func removeMessage(_ request: Request, _ principal: Principal) async throws -> Response {
        let id = try request.pathQueueID()
        try QueryReader(request).finish()
        try request.refuseBody()

        try await service.remove(id)
        return .noContent
    }

    /// `GET /bounces`
    @Sendable func listBounces(_ request: Request, _ principal: Principal) async throws -> Response {
        var query = QueryReader(request, known: ["limit", "cursor"])
        let limit = query.limit()
        let cursor = query.cursor { QueueID($0) }
        try query.finish()

        let reports: [KeptReport]
        do { reports = try await bounces?.bounces(after: cursor, limit: limit + 1) ?? [] } catch { throw FlushError(error) }
        let next = reports.count > limit ? reports[limit - 1].id.description : nil
        return .page("bounces", reports.prefix(limit), next: next, of: request) { $0.write(to: &$1) }
    }

    /// `GET /bounces/{queue_id}`
    @Sendable func getBounce(_ request: Request, _ principal: Principal) async throws -> Response {
        let id = try request.pathQueueID()
        try QueryReader(request).finish()

        let report = try await fromReports(id) { (reports) throws(MailQueueError) in try await reports.bounce(id) }
        return .json { report.write(to: &$0) }
    }

    /// `DELETE /bounces/{queue_id}`
    @Sendable func removeBounce(_ request: Request, _ principal: Principal) async throws -> Response {
        let id = try request.pathQueueID()
        try QueryReader(request).finish()
        try request.refuseBody()

        try await fromReports(id) { (reports) throws(MailQueueError) in try await reports.removeBounce(id) }
        return .noContent
    }

    /// An engine without reports of its own has none with any ID.
    private func fromReports<T>(_ id: QueueID, _ ask: (any BounceReports) async throws(MailQueueError) -> T) async throws -> T {
        let unknown = Problem.notFound("No kept report has the ID \(id).")
        guard let bounces else { throw unknown }
        do { return try await ask(bounces) } catch .notFound { throw unknown } catch { throw FlushError(error) }
    }
}
