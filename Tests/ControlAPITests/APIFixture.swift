// The whole API in memory: router, endpoints, the real core, a fake queue.

import ControlAPI
import DispatchSockets
import FlushCore
import FlushTesting
import FlushWire
import HTTPServer
import HTTPTypes

struct APIFixture {
    let queue: InMemoryQueue
    let core: FlushServer
    let router: Router
    let time = ManualTime()
    private let loop: EventLoop

    init(messages: [QueuedMessage] = [], fastFlushDomains: String = "store:", slowFlush: FlushPolicy.SlowFlush = .permit, trusted: Bool = true)
        async throws
    {
        queue = InMemoryQueue(messages: messages)
        let lists = [fastFlushDomains, "store:"].map { text in
            DomainList(parsing: text, mode: .parentDomains) { (path) throws(DomainList.UnreadableFile) in throw .init(reason: "no files here") }
        }
        loop = try EventLoop(label: "test")
        core = FlushServer(
            policy: FlushPolicy(fastFlushDomains: lists[0], relayDomains: lists[1], slowFlush: slowFlush), queue: queue,
            logs: InMemoryFlushLogStore(), history: InMemoryFlushHistoryStore(), relayDomains: InMemoryRelayDomainStore(), time: time,
            executor: loop)
        try await core.start()
        // Else a test's first `reconcile` might be only a wish, to be fulfilled after the scan that runs.
        while await !core.status().isIndexComplete { await Task.yield() }
        let facts = ControlAPI.Facts(
            version: "1.2.3", engine: "spool",
            policy: ServerPolicy(
                parameters: [.init(name: "slow_flush", value: slowFlush.rawValue, source: "default")], warnings: ["take care"]),
            engineUsesMX: false)
        router = ControlAPI(
            service: core, relayDomains: core, bounces: nil, access: AccessControl(ownUser: 1000) { _ in trusted }, facts: facts,
            impediments: { [core] in await core.impediments() }
        ).routes()
    }

    func ask(_ method: HTTPRequest.Method, _ path: String, fields: HTTPFields = HTTPFields(), body: String = "") async -> Answer {
        var all = fields
        if !body.isEmpty, all[.contentType] == nil { all[.contentType] = "application/json" }
        let request = Request(
            method: method, path: path, fields: all, body: Array(body.utf8), peer: Peer(address: .ipv4(0x7F00_0001, port: 4711)))
        return Answer(await loop.run { [router] in router.respond(to: request) }.value())
    }

    func provision(_ domain: String, _ body: String = #"{"next_hop":"[192.0.2.1]:25"}"#) async -> Answer {
        await ask(.put, "/relay-domains/\(domain)", body: body)
    }
}

/// A response with its body read.
struct Answer {
    let response: Response
    let json: JSONValue?

    init(_ response: Response) {
        self.response = response
        let bytes =
            switch response.body {
            case .bytes(let bytes): bytes
            }
        json = JSONValue(parsing: bytes)
    }

    var status: Int { response.status.code }

    subscript(name: String) -> JSONValue? {
        guard case .object(let members)? = json else { return nil }
        return members[name]
    }

    /// The pointers of a problem's errors.
    var places: [String] {
        guard case .array(let errors)? = self["errors"] else { return [] }
        return errors.compactMap { error in
            guard case .object(let members) = error, case .text(let pointer)? = members["pointer"] else { return nil }
            return pointer
        }
    }
}
