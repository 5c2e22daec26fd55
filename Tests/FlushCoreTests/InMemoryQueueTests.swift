// The fake queue: other suites trust what it answers.

import FlushCore
import FlushTesting
import Testing

@Suite struct InMemoryQueueTests {
    let branch = Samples.domain("branch.example")
    let below = Samples.domain("sub.branch.example")
    let ship = Samples.domain("ship.example")

    func message(_ number: Int, _ place: MessagePlace = .deferred, _ domains: DomainName...) -> QueuedMessage {
        QueuedMessage(id: Samples.queueID(number), place: place, arrival: Timestamp(seconds: 1), size: 10, domains: domains)
    }

    /// All events so far; the queue is stopped.
    func events(of queue: InMemoryQueue) async -> [QueueEvent] {
        queue.stop()
        var all: [QueueEvent] = []
        for await event in queue.events { all.append(event) }
        return all
    }

    @Test func answersAReleaseByWhereEachMessageStands() async throws {
        let queue = InMemoryQueue(messages: [
            message(0, .deferred, branch), message(1, .held, branch), message(2, .inDelivery, branch), message(3, .deferred, ship),
            message(5, .deferred, below),
        ])
        let flush = Samples.flushID(1)

        let results = try await queue.release(
            (0..<6).map { Samples.queueID($0) }, by: flush, for: .domain(branch, subdomains: false), unthrottle: true)

        #expect(results == [.released, .held, .inDelivery, .vanished, .vanished, .vanished])
        #expect(queue.released == [Samples.queueID(0)])
        #expect(queue.releases == [(0..<6).map { Samples.queueID($0) }])
        #expect(queue.unthrottled == [true])
        #expect(queue.owner(of: Samples.queueID(0)) == flush)
        #expect(await events(of: queue) == [.queued(message(0, .inDelivery, branch))])
    }

    @Test func meetsTheSubdomainsToo() async throws {
        let queue = InMemoryQueue(messages: [message(5, .deferred, below)])

        let results = try await queue.release([Samples.queueID(5)], by: nil, for: .domain(branch, subdomains: true), unthrottle: false)

        #expect(results == [.released])
    }

    @Test func endsAnAttemptByScriptWithTheFlushThatAsked() async throws {
        let queue = InMemoryQueue(messages: [message(0, .deferred, branch, ship)])
        queue.script(.delivered, for: branch)
        queue.script(.deferred(reason: "busy"), for: ship)
        let flush = Samples.flushID(1)

        _ = try await queue.release([Samples.queueID(0)], by: flush, for: .everything, unthrottle: false)

        let attempt = DeliveryAttempt(
            id: Samples.queueID(0), flush: flush, remaining: message(0, .deferred, ship),
            outcomes: [DomainOutcome(domain: branch, delivered: 1), DomainOutcome(domain: ship, deferred: 1, reason: "busy")])
        #expect(queue.messages[Samples.queueID(0)] == message(0, .deferred, ship))
        #expect(await events(of: queue) == [.queued(message(0, .inDelivery, branch, ship)), .attempted(attempt)])
    }

    @Test func failsWhenItIsTold() async throws {
        let queue = InMemoryQueue(deferred: [Samples.queueID(0), Samples.queueID(1)], for: branch)
        queue.releaseFailure = .unavailable("the disk is gone")
        await #expect(throws: MailQueueError.unavailable("the disk is gone")) {
            try await queue.release([Samples.queueID(0)], by: nil, for: .everything, unthrottle: false)
        }
        #expect(queue.releases.isEmpty)

        queue.releaseFailure = nil
        queue.releaseResults[Samples.queueID(0)] = .failed(reason: "busy")
        let results = try await queue.release(
            [Samples.queueID(0), Samples.queueID(1)], by: nil, for: .everything, unthrottle: false)
        #expect(results == [.failed(reason: "busy"), .released])
    }

    @Test func waitsAtTheGate() async throws {
        let queue = InMemoryQueue(deferred: [Samples.queueID(0)], for: branch)
        queue.closeGate()
        let release = Task { try await queue.release([Samples.queueID(0)], by: nil, for: .everything, unthrottle: false) }
        for _ in 0..<100 { await Task.yield() }
        #expect(queue.released.isEmpty)

        queue.openGate()
        await queue.waitForReleases(1)

        #expect(try await release.value == [.released])
    }

    @Test func scansInPages() async throws {
        let queue = InMemoryQueue(messages: (0..<5).map { message($0, .deferred, branch) }, pageSize: 2)
        let (pages, continuation) = AsyncStream.makeStream(of: Int.self)

        try await queue.scan { continuation.yield($0.count) }

        continuation.finish()
        var sizes: [Int] = []
        for await size in pages { sizes.append(size) }
        #expect(sizes == [2, 2, 1])
    }

    @Test func removesWhatIsNotInDelivery() async throws {
        let queue = InMemoryQueue(messages: [message(0, .deferred, branch), message(1, .inDelivery, branch)])

        try await queue.remove(Samples.queueID(0))

        await #expect(throws: MailQueueError.notFound(Samples.queueID(0))) { try await queue.remove(Samples.queueID(0)) }
        await #expect(throws: MailQueueError.busy(Samples.queueID(1))) { try await queue.remove(Samples.queueID(1)) }
        #expect(await events(of: queue) == [.left(Samples.queueID(0))])
    }
}
