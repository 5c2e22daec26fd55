// A flush server over fakes, and how a test waits for it.

import Dispatch
import FlushTesting
import Testing

@testable import FlushCore

/// A serial executor, as the event loop is one.
final class QueueExecutor: SerialExecutor {
    private static let key = DispatchSpecificKey<ObjectIdentifier>()
    private let queue = DispatchQueue(label: "flush-server-test")

    init() { queue.setSpecific(key: Self.key, value: ObjectIdentifier(self)) }

    func isIsolatingCurrentContext() -> Bool? { DispatchQueue.getSpecific(key: Self.key) == ObjectIdentifier(self) }

    func sync<Value>(_ body: () throws -> Value) rethrows -> Value { try queue.sync(execute: body) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { @Sendable in job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}

/// A flush server with everything that it needs.
struct Service: Sendable {
    static let branch = Samples.domain("branch.example")
    static let ship = Samples.domain("ship.example")

    let queue: InMemoryQueue
    let logs: InMemoryFlushLogStore
    let history: InMemoryFlushHistoryStore
    let relayDomains: InMemoryRelayDomainStore
    let time: ManualTime
    let failures = Recorder<BackgroundFailure>()
    let server: FlushServer
    let executor = QueueExecutor()

    init(
        _ messages: [QueuedMessage] = [], fast: String = "branch.example, ship.example", mode: DomainList.Mode = .parentDomains,
        slow: FlushPolicy.SlowFlush = .permit, logs: InMemoryFlushLogStore = InMemoryFlushLogStore(),
        history: InMemoryFlushHistoryStore = InMemoryFlushHistoryStore(), relayDomains: [RelayDomain] = [],
        set: (inout FlushServer.Parameters) -> Void = { _ in }
    ) {
        queue = InMemoryQueue(messages: messages)
        self.logs = logs
        self.history = history
        self.relayDomains = InMemoryRelayDomainStore(relayDomains)
        time = ManualTime()
        var parameters = FlushServer.Parameters()
        set(&parameters)
        func list(_ text: String) -> DomainList {
            DomainList(parsing: text, mode: mode) { path throws(DomainList.UnreadableFile) in throw .init(reason: "no \(path)") }
        }
        let failures = failures
        server = FlushServer(
            policy: FlushPolicy(fastFlushDomains: list(fast), relayDomains: list("store:"), slowFlush: slow), parameters: parameters,
            queue: queue, logs: logs, history: history, relayDomains: self.relayDomains, time: time, executor: executor,
            report: { failures.append($0) })
        time.settles { [weak server, unowned time] in
            // The loops of its own have gone to sleep again, and what else was woken has had some turns of the server.
            for turn in 0..<1_000 where turn < 20 || time.sleepers < Self.loops {
                await Task.yield()
                _ = await server?.tracker.runningCount
            }
        }
    }

    /// Write behind, reconcile, maintenance.
    private static let loops = 3

    /// Starts the server and waits until it has read the whole queue.
    func start() async throws {
        try await server.start()
        try await until("the first scan has ended") { await server.status().isIndexComplete }
        await time.waitForSleepers(Self.loops)
    }

    func flush(_ domain: DomainName = Service.branch, subdomains: Bool = false, mayFlushAll: Bool = true) async throws -> Flush {
        try await server.flush(Self.request(.domain(domain, subdomains: subdomains), mayFlushAll: mayFlushAll))
    }

    /// Asks on the executor, as a front end does.
    func flushAtHand(_ request: FlushRequest) throws -> Flush? { try executor.sync { try server.flushAtHand(request) } }

    static func request(_ selector: FlushSelector, mayFlushAll: Bool = true) -> FlushRequest {
        FlushRequest(selector, via: .http, requestedBy: "test", mayFlushAll: mayFlushAll)
    }

    /// Waits, a minute at most, until the queue has carried out so many releases.
    func waitForReleases(_ count: Int, at location: SourceLocation = #_sourceLocation) async throws {
        try await until("\(count) releases", at: location) { queue.releaseCalls.count >= count }
    }

    /// The flush as soon as it is as wanted.
    @discardableResult
    func flush(
        _ id: FlushID, _ what: Comment, at location: SourceLocation = #_sourceLocation, is wanted: @escaping @Sendable (Flush) -> Bool
    ) async throws -> Flush {
        try await until(what, at: location) { try await server.flush(id, waitingFor: .zero).map(wanted) ?? false }
        return try #require(try await server.flush(id, waitingFor: .zero), sourceLocation: location)
    }

    /// The flush as soon as it has ended.
    @discardableResult
    func ended(_ flush: Flush, at location: SourceLocation = #_sourceLocation) async throws -> Flush {
        let ended = try await self.flush(flush.id, "the flush has ended", at: location) { $0.state != .running }
        expectSums(ended, at: location)
        return ended
    }

    func isRecorded(_ number: Int, for domain: DomainName = Service.branch) async throws -> Bool {
        let page = try await server.messages(for: domain, after: nil, limit: 1000)
        return page?.messages.contains { $0.id == Samples.queueID(number) } ?? false
    }

    func count(_ domain: DomainName = Service.branch) async -> Int { await server.domain(domain)?.summary.messages ?? 0 }
}

/// Both sums of architecture.md, for a flush whose release is over.
func expectSums(_ flush: Flush, at location: SourceLocation = #_sourceLocation) {
    #expect(
        flush.matched == flush.released + flush.inDelivery + flush.held + flush.vanished + flush.unreleased, sourceLocation: location)
    #expect(
        flush.released == flush.delivered + flush.deferredAgain + flush.bounced + flush.departed + flush.open, sourceLocation: location)
    #expect(flush.unreleased >= 0 && flush.open >= 0, sourceLocation: location)
}

/// Waits, a minute at most, until `condition` holds.
func until(
    _ what: Comment, at location: SourceLocation = #_sourceLocation, _ condition: @Sendable () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, what, sourceLocation: location)
        try await Task.sleep(for: .milliseconds(1))
    }
}

func message(
    _ number: Int, _ domains: DomainName..., place: MessagePlace = .deferred, size: Int = 1000, arrival: Int64 = 1_799_990_000
) -> QueuedMessage {
    QueuedMessage(
        id: Samples.queueID(number), place: place, arrival: Timestamp(seconds: arrival), size: size,
        domains: domains.isEmpty ? [Service.branch] : domains)
}

/// The sizes of the batches in which so many messages are released.
func batches(of count: Int) -> [Int] {
    stride(from: 0, to: count, by: FlushServer.Limits.releaseBatch).map { min(FlushServer.Limits.releaseBatch, count - $0) }
}
