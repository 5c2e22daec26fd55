// Destinations, and the mail that waits for them.

import FlushCore
import FlushWire
import HTTPServer

extension ControlAPI {
    /// `GET /domains`
    @Sendable func listDomains(_ request: Request, _ principal: Principal) async throws -> Response {
        var query = QueryReader(request, known: ["limit", "cursor", "prefix", "waiting"])
        let limit = query.limit()
        let wanted = DomainQuery(
            after: query.cursor { DomainName($0) },
            prefix: query.domainPrefix("prefix") ?? "",
            waitingOnly: query.flag("waiting"), limit: limit + 1)
        try query.finish()

        let domains = try await service.domains(wanted)
        let next = domains.count > limit ? domains[limit - 1].domain.description : nil
        return .page("domains", domains.prefix(limit), next: next, of: request) { $0.write(to: &$1) }
    }

    /// `GET /domains/{domain}`
    @Sendable func getDomain(_ request: Request, _ principal: Principal) async throws -> Response {
        let name = try request.pathDomain()
        try QueryReader(request).finish()

        guard let domain = try await service.domain(name) else { throw unknownDomain(name) }
        return .json { domain.write(to: &$0) }
    }

    /// `GET /domains/{domain}/messages`
    @Sendable func listMessages(_ request: Request, _ principal: Principal) async throws -> Response {
        let name = try request.pathDomain()
        var query = QueryReader(request, known: ["limit", "cursor"])
        let limit = query.limit()
        let cursor = query.cursor { text in
            text.utf8.count <= 10 && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
                ? Int(text).map { MessageCursor(sequence: UInt32(clamping: $0)) } : nil
        }
        try query.finish()

        guard let page = try await service.messages(for: name, after: cursor, limit: limit) else { throw unknownDomain(name) }
        return .page("messages", page.messages, next: page.next.map { String($0.sequence) }, of: request) {
            $0.write(to: &$1, withHistory: false)
        }
    }

    private func unknownDomain(_ name: DomainName) -> Problem {
        .notFound("Nothing waits for \(name), and it is no flush domain: fast_flush_domains does not match it.")
    }
}
