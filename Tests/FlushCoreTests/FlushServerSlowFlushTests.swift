// The whole queue, for domains without a record of their own.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct FlushServerSlowFlushTests {
    let other = Samples.domain("other.example")

    @Test func triesTheWholeQueueForAnUnlistedDomain() async throws {
        let service = Service([message(1), message(2, Service.ship), message(3, Samples.domain("x.other.example"))])
        try await service.start()

        let flush = try await service.flush(other)
        try await service.waitForReleases(1)

        #expect(flush.mode == .slow && flush.matched == 3 && flush.scheduledAt == nil)
        #expect(service.queue.releaseCalls[0].selector == .everything)
        // Dead destinations keep their own time.
        #expect(service.queue.unthrottled == [false])
        #expect(service.queue.released.count == 3)
    }

    @Test func isRefusedWhenThePolicyRejectsOrTheAskerMayNot() async throws {
        let rejecting = Service([message(1)], slow: .reject)
        try await rejecting.start()
        let permitting = Service([message(1)])
        try await permitting.start()

        for (service, may) in [(rejecting, true), (permitting, false)] {
            do {
                _ = try await service.flush(other, mayFlushAll: may)
                Issue.record("not refused")
            } catch FlushError.notEligible(let domain, _) {
                #expect(domain == other)
            }
            #expect(service.queue.releases.isEmpty)
        }
    }

    @Test func judgesEveryRecipient() async throws {
        let service = Service([message(1, Service.branch, Service.ship)])
        try await service.start()
        service.queue.script(.delivered, for: Service.branch)
        service.queue.script(.deferred(reason: "away"), for: Service.ship)

        let ended = try await service.ended(try await service.flush(other))

        #expect(ended.deferredAgain == 1)
    }

    @Test func runsOnceInTheIntervalAndThenOnceMore() async throws {
        let service = Service([message(1), message(2, Service.ship)]) { $0.slowFlushInterval = .seconds(300) }
        try await service.start()
        let first = try await service.flush(other)
        try await service.waitForReleases(1)
        for number in 1...2 { service.queue.deferAgain(Samples.queueID(number)) }
        try await service.ended(first)

        let second = try await service.flush(other)
        let third = try await service.flush(Samples.domain("third.example"))

        #expect(second.id != first.id && second.scheduledAt == first.requestedAt + .seconds(300) && second.state == .running)
        #expect(third.id == second.id && third.coalesced)
        #expect(service.queue.releases.count == 1)

        // What comes before it starts is its own.
        await service.server.add(Samples.queueID(3), to: Service.branch)
        service.queue.changeSilently { $0[Samples.queueID(3)] = message(3) }
        await service.time.waitForSleepers(4)
        await service.time.advance(by: .seconds(299))
        #expect(service.queue.releases.count == 1)
        await service.time.advance(by: .seconds(1))
        try await service.waitForReleases(2)

        let seen = try await service.flush(second.id, "it has released") { $0.released == 3 }
        #expect(seen.matched == 3)
        // The interval begins anew with that run.
        for number in 1...3 { service.queue.deferAgain(Samples.queueID(number)) }
        try await service.ended(second)
        #expect(try await service.flush(other).scheduledAt == first.requestedAt + .seconds(600))
    }

    @Test func startsAtOnceWhenTheIntervalIsOver() async throws {
        let service = Service([message(1)]) { $0.slowFlushInterval = .seconds(300) }
        try await service.start()
        let first = try await service.flush(other)
        try await service.waitForReleases(1)
        service.queue.deferAgain(Samples.queueID(1))
        try await service.ended(first)
        await service.time.advance(by: .seconds(300))

        let second = try await service.flush(other)

        #expect(second.scheduledAt == nil)
        try await service.waitForReleases(2)
    }

    @Test func aCancelledScheduleNeverRuns() async throws {
        let service = Service([message(1)])
        try await service.start()
        let first = try await service.flush(other)
        try await service.waitForReleases(1)
        service.queue.deferAgain(Samples.queueID(1))
        try await service.ended(first)
        let scheduled = try await service.flush(other)

        let cancelled = try await service.server.cancel(scheduled.id)
        await service.time.advance(by: .seconds(600))

        #expect(cancelled?.state == .cancelled && cancelled?.finishedAt != nil && cancelled?.unreleased == 1)
        #expect(service.queue.releases.count == 1)
        #expect(await service.server.tracker.runningCount == 0)
        // And does not stand in the way of the next.
        #expect(try await service.flush(other).scheduledAt == nil)
    }

    @Test func everythingIsFlushedAtOnce() async throws {
        let service = Service((1...450).map { message($0, $0 % 2 == 0 ? Service.branch : Service.ship) })
        try await service.start()

        let flush = try await service.server.flush(Service.request(.everything))
        try await service.flush(flush.id, "all are released") { $0.released == 450 }

        #expect(flush.mode == .slow)
        // No probes: it means no single site.
        #expect(service.queue.releases.map(\.count) == batches(of: 450))
    }

    @Test func anUnlistedDomainWithMailIsShown() async throws {
        let service = Service([message(1, Samples.domain("other.example"))])
        try await service.start()

        let summary = await service.server.domain(other)?.summary

        #expect(summary?.state == .unlisted && summary?.mode == .slow && summary?.messages == 1)
        #expect(await service.server.domain(Samples.domain("nobody.example")) == nil)
        #expect(await service.server.domain(Service.branch)?.summary.messages == 0)
    }
}
