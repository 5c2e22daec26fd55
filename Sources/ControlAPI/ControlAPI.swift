// The control plane's endpoints, given everything that they talk to.

import DispatchSockets
import FlushCore
import FlushWire
import HTTPServer
import HTTPTypes

/// The HTTP API of openapi.yaml over any flush service.
public struct ControlAPI: Sendable {
    /// What is told about the daemon itself.
    public struct Facts: Sendable {
        public var version: String
        public var engine: String
        public var policy: ServerPolicy
        /// Whether the engine can look up a next hop's MX records.
        public var engineUsesMX: Bool

        public init(version: String, engine: String, policy: ServerPolicy, engineUsesMX: Bool) {
            self.version = version
            self.engine = engine
            self.policy = policy
            self.engineUsesMX = engineUsesMX
        }
    }

    let service: any FlushService
    let relayDomains: any RelayDomainService
    let bounces: (any BounceReports)?
    let access: AccessControl
    let facts: Facts
    /// What keeps the service from doing its work, a line each; nothing when it is ready.
    let impediments: @Sendable () async -> [String]
    let lastStatus = LastStatus()

    public init(
        service: any FlushService, relayDomains: any RelayDomainService, bounces: (any BounceReports)?, access: AccessControl, facts: Facts,
        impediments: @escaping @Sendable () async -> [String]
    ) {
        self.service = service
        self.relayDomains = relayDomains
        self.bounces = bounces
        self.access = access
        self.facts = facts
        self.impediments = impediments
    }

    /// The route table: the whole API at a glance.
    public func routes() -> Router {
        var router = Router()
        router.on(.get, "/") { _ in .now(StatusPage.response) }
        router.on(.get, "/livez") { _ in .now(Response(contentType: "text/plain; charset=utf-8", body: .text("live\n"))) }
        router.on(.get, "/readyz") { _ in .later { await readiness() } }
        router.on(.get, "/openapi.yaml") { _ in .now(Contract.response) }

        router.on(.get, "/status", guarded(status))
        router.on(.get, "/policy", guarded(policy))

        router.on(.post, "/etrn/{domain}", guarded(requestDelivery))
        router.on(.post, "/messages/{queue_id}/flush", guarded(flushMessage))
        router.on(.post, "/queue/flush", guarded(flushQueue))
        router.on(.get, "/flushes", guarded(listFlushes))
        router.on(.get, "/flushes/{id}", guarded(getFlush))
        router.on(.delete, "/flushes/{id}", guarded(cancelFlush))

        router.on(.get, "/domains", guarded(listDomains))
        router.on(.get, "/domains/{domain}", guarded(getDomain))
        router.on(.get, "/domains/{domain}/messages", guarded(listMessages))
        router.on(.get, "/messages/{queue_id}", guarded(getMessage))
        router.on(.delete, "/messages/{queue_id}", guarded(removeMessage))
        router.on(.get, "/bounces", guarded(listBounces))
        router.on(.get, "/bounces/{queue_id}", guarded(getBounce))
        router.on(.delete, "/bounces/{queue_id}", guarded(removeBounce))

        router.on(.get, "/relay-domains", guarded(listRelayDomains))
        router.on(.put, "/relay-domains", guarded(replaceRelayDomains))
        router.on(.get, "/relay-domains/{domain}", guarded(getRelayDomain))
        router.on(.put, "/relay-domains/{domain}", guarded(putRelayDomain))
        router.on(.delete, "/relay-domains/{domain}", guarded(removeRelayDomain))
        return router
    }

    typealias Endpoint = @Sendable (Request, Principal) throws -> Answer<Response>
    typealias WaitingEndpoint = @Sendable (Request, Principal) async throws -> Response

    /// Lets an endpoint see only askers who may ask, and turns what it throws into a problem.
    private func guarded(_ endpoint: @escaping Endpoint) -> Router.Handler {
        { request in
            do { return try endpoint(request, access.admit(request)) } catch { return .now(response(to: error)) }
        }
    }

    private func guarded(_ endpoint: @escaping WaitingEndpoint) -> Router.Handler {
        guarded { request, principal in later { try await endpoint(request, principal) } }
    }

    /// An answer that has to be waited for.
    func later(_ body: nonisolated(nonsending) @escaping @Sendable () async throws -> Response) -> Answer<Response> {
        .later { do { return try await body() } catch { return response(to: error) } }
    }

    private func response(to error: any Error) -> Response {
        switch error {
        case let problem as Problem: problem.response
        case let error as FlushError: Problem(error).response
        default: Problem(kind: .failure, status: .internalServerError, detail: "This is a mistake of the daemon: \(error)").response
        }
    }
}
