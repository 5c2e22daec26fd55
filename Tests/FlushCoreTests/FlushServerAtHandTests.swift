// What is answered without a wait, and where there must be one.

import FlushTesting
import Testing

@testable import FlushCore

@Suite struct FlushServerAtHandTests {
    private let request = Service.request(.domain(Service.branch, subdomains: false))

    @Test func aStatusIsTheSameAsAsked() async throws {
        let service = Service([message(1)])
        try await service.start()

        let status = service.executor.sync { service.server.statusAtHand() }

        #expect(status?.messages == 1)
        #expect(await service.server.status() == status)
    }

    @Test func aFlushIsTheSameAsAsked() async throws {
        let service = Service([message(1)])
        try await service.start()

        let flush = try #require(try service.flushAtHand(request))

        #expect(flush.state == .running)
        #expect(flush.matched == 1)
        let joined = try await service.server.flush(request)
        #expect(joined.id == flush.id)
        #expect(joined.coalesced)
    }

    @Test func aRefusalIsOneToo() async throws {
        let service = Service(slow: .reject)
        try await service.start()
        let strange = Service.request(.domain(Samples.domain("stranger.example"), subdomains: false))

        #expect(throws: FlushError.self) { try service.flushAtHand(strange) }
    }

    @Test func elsewhereNothingIsAtHand() async throws {
        let service = Service()
        try await service.start()

        #expect(service.server.statusAtHand() == nil)
        #expect(try service.server.flushAtHand(request) == nil)
        #expect(await service.server.status().flushesRequested == 0)
    }

    @Test func aQueueThatMustBeAskedIsWaitedFor() async throws {
        let service = Service()
        try await service.start()
        service.queue.currentTrouble = "the queue manager does not answer"

        #expect(try service.flushAtHand(request) == nil)
        await #expect(throws: FlushError.queueUnavailable(reason: "the queue manager does not answer")) { try await service.server.flush(request) }
    }

    @Test func theFirstScanIsWaitedFor() async throws {
        let service = Service([message(1)])
        try await service.start()

        let (before, after) = try service.executor.sync {
            service.server.assumeIsolated { $0.isFilling = true }
            let before = try service.server.flushAtHand(request)
            service.server.assumeIsolated { $0.isFilling = false }
            return (before, try service.server.flushAtHand(request))
        }

        #expect(before == nil)
        #expect(after?.matched == 1)
    }
}
