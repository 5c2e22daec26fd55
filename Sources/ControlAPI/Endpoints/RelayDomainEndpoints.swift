// Provisioning relay domains.

import FlushCore
import FlushWire
import HTTPServer
import HTTPTypes

extension ControlAPI {
    /// `GET /relay-domains`
    @Sendable func listRelayDomains(_ request: Request, _ principal: Principal) async throws -> Response {
        var query = QueryReader(request, known: ["limit", "cursor"])
        let limit = query.limit()
        let cursor = query.cursor { DomainName($0) }
        try query.finish()

        let page = try await relayDomains.relayDomains(after: cursor, owner: nil, limit: limit + 1)
        let next = page.count > limit ? page[limit - 1].domain.description : nil
        return .page("relay_domains", page.prefix(limit), next: next, of: request) { $0.write(to: &$1) }
    }

    /// `GET /relay-domains/{domain}`
    @Sendable func getRelayDomain(_ request: Request, _ principal: Principal) async throws -> Response {
        let name = try request.pathDomain()
        try QueryReader(request).finish()

        guard let relayDomain = try await relayDomains.relayDomain(name) else { throw unknownRelayDomain(name) }
        guard !request.hasCurrent(tag: relayDomain.tag) else {
            return Response(status: .notModified, fields: [.eTag: "\"\(relayDomain.tag)\""])
        }
        return answer(relayDomain)
    }

    /// `PUT /relay-domains/{domain}`
    @Sendable func putRelayDomain(_ request: Request, _ principal: Principal) async throws -> Response {
        let name = try request.pathDomain()
        try QueryReader(request).finish()
        let conditions = try request.versionConditions()
        let body = try request.jsonBody()
        let draft: RelayDomainDraft
        do { draft = try RelayDomainDraft(json: body) } catch { throw Problem(error) }
        try check([draft.nextHop]) { _ in "#/next_hop" }

        let (relayDomain, isNew) = try await relayDomains.putRelayDomain(draft, for: name, by: principal.name, if: conditions)
        guard isNew else { return answer(relayDomain) }
        return answer(relayDomain, .created, fields: [.location: "/relay-domains/\(name)"])
    }

    /// `DELETE /relay-domains/{domain}`
    @Sendable func removeRelayDomain(_ request: Request, _ principal: Principal) async throws -> Response {
        let name = try request.pathDomain()
        var query = QueryReader(request, known: ["force"])
        let force = query.flag("force")
        try query.finish()
        try request.refuseBody()
        let conditions = try request.versionConditions()

        guard try await relayDomains.removeRelayDomain(name, force: force, if: conditions) else { throw unknownRelayDomain(name) }
        return .noContent
    }

    /// `PUT /relay-domains`
    @Sendable func replaceRelayDomains(_ request: Request, _ principal: Principal) async throws -> Response {
        var query = QueryReader(request, known: ["owner", "dry_run", "max_delete"])
        let owner = query.text("owner", maximumLength: RelayDomainDraft.maximumOwnerLength, minimumLength: 1)
        let isDryRun = query.flag("dry_run")
        let maximumRemovals = query.optionalInteger("max_delete", in: 0...1_000_000)
        if owner == nil { query.fault("owner", "is missing: only one owner's relay domains are replaced") }
        try query.finish()
        let body = try request.jsonBody()
        let drafts: [(DomainName, RelayDomainDraft)]
        do { drafts = try RelayDomainDraft.list(json: body, maximumCount: Self.maximumListLength) } catch { throw Problem(error) }
        try check(drafts.map(\.1.nextHop)) { "#/relay_domains/\($0)/next_hop" }

        let difference = try await relayDomains.replaceRelayDomains(
            Dictionary(uniqueKeysWithValues: drafts), owner: owner ?? "", by: principal.name, maximumRemovals: maximumRemovals, dryRun: isDryRun)
        return .json { difference.write(to: &$0, dryRun: isDryRun) }
    }

    /// One request's transaction stays short; a mebibyte of body holds about as many.
    private static let maximumListLength = 10_000

    private func answer(_ relayDomain: RelayDomain, _ status: HTTPResponse.Status = .ok, fields: HTTPFields = HTTPFields()) -> Response {
        var all = fields
        all[.eTag] = "\"\(relayDomain.tag)\""
        return .json(status, fields: all) { relayDomain.write(to: &$0) }
    }

    private func check(_ nextHops: [NextHop], pointer: (Int) -> String) throws(Problem) {
        let faults = nextHops.enumerated().filter { $0.element.usesMX && !facts.engineUsesMX }.map { place, nextHop in
            Problem.Fault(
                pointer: pointer(place),
                detail: "\(nextHop) without brackets means MX lookup, which this engine has not; write [\(nextHop.host)]:\(nextHop.port)")
        }
        guard faults.isEmpty else { throw Problem(faults: faults) }
    }

    private func unknownRelayDomain(_ name: DomainName) -> Problem { .notFound("\(name) is no relay domain.") }
}
