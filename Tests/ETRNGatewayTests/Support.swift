// A gateway before the real core with a fake queue, and before a service that says what a test wants.

import DispatchSockets
import ETRNGateway
import FlushCore
import FlushTesting
import SMTPServer
import SocketTesting
import Synchronization
import Testing

extension Peer {
    static let here = Peer(address: .ipv4(0x7F00_0001, port: 4711))
}

extension SMTPReply {
    /// As a client reads it, without the line end.
    var text: String { String(decoding: rendered.dropLast(2), as: UTF8.self) }
}

/// The core over a fake queue, and a gateway that asks it.
struct GatewayFixture {
    static let branch = Samples.domain("branch.example")
    static let ship = Samples.domain("ship.example")

    let queue: InMemoryQueue
    let core: FlushServer
    let time = ManualTime()
    let gateway: ETRNGateway
    private let loop: EventLoop

    init(
        _ messages: [QueuedMessage] = [], fast: String = "branch.example, ship.example", slow: FlushPolicy.SlowFlush = .permit,
        scanFailure: MailQueueError? = nil, permitted: Bool = true, set: (inout ETRNGateway.Parameters) -> Void = { _ in }
    ) async throws {
        queue = InMemoryQueue(messages: messages)
        queue.scanFailure = scanFailure
        let lists = [fast, "store:"].map { text in
            DomainList(parsing: text, mode: .parentDomains) { (path) throws(DomainList.UnreadableFile) in throw .init(reason: "no \(path)") }
        }
        loop = try EventLoop(label: "gateway-test")
        let core = FlushServer(
            policy: FlushPolicy(fastFlushDomains: lists[0], relayDomains: lists[1], slowFlush: slow), queue: queue,
            logs: InMemoryFlushLogStore(), history: InMemoryFlushHistoryStore(), relayDomains: InMemoryRelayDomainStore(), time: time,
            executor: loop)
        self.core = core
        var parameters = ETRNGateway.Parameters()
        set(&parameters)
        gateway = ETRNGateway(service: core, parameters: parameters, time: time) { _ in permitted }
        try await core.start()
        if scanFailure == nil { try await until("the first scan has ended") { await core.status().isIndexComplete } }
    }

    /// Asks on the loop, where the core has most at hand.
    func ask(_ argument: String, from peer: Peer = .here) async -> String {
        await loop.run { [gateway] in gateway.answer(argument, from: peer) }.value().text
    }
}

/// Waits, ten seconds at most, until `condition` holds.
func until(
    _ what: Comment, at location: SourceLocation = #_sourceLocation, _ condition: @Sendable () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, what, sourceLocation: location)
        try await Task.sleep(for: .milliseconds(1))
    }
}

func message(_ number: Int, _ domains: DomainName...) -> QueuedMessage {
    QueuedMessage(
        id: Samples.queueID(number), place: .deferred, arrival: Timestamp(seconds: 1_799_990_000), size: 1000,
        domains: domains.isEmpty ? [GatewayFixture.branch] : domains)
}

/// A service that answers flushes as it is told, and can be held up.
final class ScriptedService: FlushService {
    private struct State {
        var answers: [DomainName: Result<Flush, FlushError>] = [:]
        var requests: [FlushRequest] = []
        var isIndexComplete = true
        var statusFailure: FlushError?
        var statusCalls = 0
    }

    private let state = Mutex(State())
    private let gate: Gate?

    init(gate: Gate? = nil) { self.gate = gate }

    var requests: [FlushRequest] { state.withLock { $0.requests } }
    var statusCalls: Int { state.withLock { $0.statusCalls } }

    /// What asking for a domain gives; a domain without a script has no mail.
    func script(_ domain: DomainName, _ answer: Result<Flush, FlushError>) { state.withLock { $0.answers[domain] = answer } }
    func script(_ domain: DomainName, set: (inout Flush) -> Void) {
        var flush = Samples.flush(1, .domain(domain, subdomains: false))
        set(&flush)
        script(domain, .success(flush))
    }
    func setIndexComplete(_ isComplete: Bool) { state.withLock { $0.isIndexComplete = isComplete } }
    func failStatus(with failure: FlushError?) { state.withLock { $0.statusFailure = failure } }

    func flush(_ request: FlushRequest) async throws(FlushError) -> Flush {
        let answer = state.withLock { state in
            state.requests.append(request)
            guard case .domain(let domain, _) = request.selector else { return Result<Flush, FlushError>.failure(.unsupported("domains only")) }
            return state.answers[domain] ?? .success(Samples.flush(1, request.selector))
        }
        await gate?.pass()
        return try answer.get()
    }

    func status() async throws(FlushError) -> FlushStatus {
        let (isComplete, failure) = state.withLock { state in
            state.statusCalls += 1
            return (state.isIndexComplete, state.statusFailure)
        }
        if let failure { throw failure }
        return FlushStatus(
            startedAt: Timestamp(seconds: 1_800_000_000), isIndexComplete: isComplete, messages: 0, bytes: 0, oldestArrival: nil, domains: 0,
            waitingDomains: 0, relayDomains: 0, flushesRunning: 0, flushesRequested: 0, messagesReleased: 0, delivered: 0, deferredAgain: 0,
            bounced: 0, departed: 0, adds: 0, lastReconcile: nil)
    }

    // What no ETRN asks for.
    func add(_ id: QueueID, to domain: DomainName) async throws(FlushError) { throw Self.unasked }
    func preview(_ request: FlushRequest) async throws(FlushError) -> Flush { throw Self.unasked }
    func flush(_ id: FlushID, waitingFor patience: Duration) async throws(FlushError) -> Flush? { throw Self.unasked }
    func flushes(_ query: FlushQuery) async throws(FlushError) -> [Flush] { throw Self.unasked }
    func cancel(_ id: FlushID) async throws(FlushError) -> Flush? { throw Self.unasked }
    func refresh() async throws(FlushError) -> Int { throw Self.unasked }
    func purge() async throws(FlushError) -> Int { throw Self.unasked }
    func domains(_ query: DomainQuery) async throws(FlushError) -> [DomainSummary] { throw Self.unasked }
    func domain(_ name: DomainName) async throws(FlushError) -> DomainDetail? { throw Self.unasked }
    func messages(for domain: DomainName, after cursor: MessageCursor?, limit: Int) async throws(FlushError) -> MessagePage? { throw Self.unasked }
    func message(_ id: QueueID) async throws(FlushError) -> MessageDescription { throw Self.unasked }
    func remove(_ id: QueueID) async throws(FlushError) { throw Self.unasked }

    private static let unasked = FlushError.unsupported("no ETRN asks for this")
}
