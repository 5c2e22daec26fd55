// A flush server over fakes, with somebody in front of it who is on trial.

import FlushCore

/// A running core whose world a case commands, and the service that must not be told from it.
public struct FlushServiceTrial: Sendable {
    /// As whom the service on trial asks: what the core is told when it is asked directly.
    public static let asker = "trusted:127.0.0.1"

    public let core: FlushServer
    public let queue: InMemoryQueue
    public let history: InMemoryFlushHistoryStore
    public let relayDomains: InMemoryRelayDomainStore
    public let time: ManualTime
    /// The core itself, or somebody who asks it.
    public var service: any FlushService & RelayDomainService

    /// A core that serves itself. Every domain that is provisioned or below `fast.example` is fast; a slow flush is permitted.
    public init(executor: any SerialExecutor) async throws {
        queue = InMemoryQueue()
        history = InMemoryFlushHistoryStore()
        relayDomains = InMemoryRelayDomainStore()
        time = ManualTime()
        func list(_ text: String) -> DomainList {
            DomainList(parsing: text, mode: .parentDomains) { path throws(DomainList.UnreadableFile) in throw .init(reason: "no \(path)") }
        }
        core = FlushServer(
            policy: FlushPolicy(fastFlushDomains: list("store:, fast.example"), relayDomains: list("store:"), slowFlush: .permit), queue: queue,
            logs: InMemoryFlushLogStore(), history: history, relayDomains: relayDomains, time: time, executor: executor)
        service = core
        try await core.start()
        let core = core
        try await Self.until("the first scan has ended") { await core.status().isIndexComplete }
    }

    /// A message arrives, and the core knows.
    @discardableResult
    public func put(_ number: Int, _ domains: DomainName..., place: MessagePlace = .deferred) async throws -> QueueID {
        let id = Samples.queueID(number)
        let before = await core.status().messages
        queue.arrive(
            QueuedMessage(id: id, place: place, arrival: Timestamp(seconds: 1_799_999_000 + Int64(number)), size: 100 + number, domains: domains))
        try await Self.until("\(id) is recorded") { await core.status().messages > before }
        return id
    }

    /// Returns when the core sees it so.
    static func until(_ what: String, _ condition: () async throws -> Bool) async throws {
        for _ in 0..<100_000 {
            if try await condition() { return }
            await Task.yield()
        }
        throw ContractViolation(description: "it does not come to be that \(what)")
    }
}
