// What a request gets that comes before the first scan, or waits when the service stops.

import FlushCore
import FlushTesting
import Testing

@Suite(.timeLimit(.minutes(5))) struct FlushServerStartAndStopTests {
    @Test func aRequestRightAfterTheStartMissesNothing() async throws {
        let service = Service((1...3000).map { message($0) })
        try await service.server.start()

        let preview = try await service.server.preview(Service.request(.domain(Service.branch, subdomains: false)))
        let detail = try #require(await service.server.domain(Service.branch))

        #expect(preview.matched == 3000)
        #expect(detail.summary.messages == 3000)
    }

    @Test func aRequestDoesNotWaitForAScanThatFails() async throws {
        let service = Service([message(1)])
        service.queue.scanFailure = .unavailable("no queue directory")
        try await service.server.start()

        let flush = try await service.flush()

        #expect(flush.matched == 0)
    }

    @Test func aStopAnswersWhoeverWaitsAndLeavesTheFlushRunning() async throws {
        let service = Service([message(1)])
        try await service.start()
        let flush = try await service.flush()
        let waiting = Task { try await service.server.flush(flush.id, waitingFor: .seconds(30)) }

        await service.server.endWaits()

        #expect(try await waiting.value?.state == .running)
        #expect(try await service.server.flush(flush.id, waitingFor: .seconds(30))?.state == .running)
        try await service.waitForReleases(1)
        service.queue.deliver(Samples.queueID(1))
        try await service.flush(flush.id, "its end") { $0.state == .finished && $0.delivered == 1 }
    }
}
