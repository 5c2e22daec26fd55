// A flush from the request to its last outcome.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct FlushServerTests {
    let branch = Service.branch
    let ship = Service.ship

    @Test func releasesWhatWaitsForTheDomainAndNothingElse() async throws {
        let service = Service([message(1), message(2), message(3, Service.ship)])
        try await service.start()
        service.queue.script(.delivered, for: branch)

        let flush = try await service.flush()
        #expect(flush.matched == 2 && flush.matchedBytes == 2000 && flush.mode == .fast && flush.state == .running)
        #expect(flush.oldestArrival == Timestamp(seconds: 1_799_990_000))

        let ended = try await service.ended(flush)
        #expect(ended.state == .finished && ended.delivered == 2 && ended.open == 0)
        #expect(Set(service.queue.released) == [Samples.queueID(1), Samples.queueID(2)])
        #expect(await service.count() == 0)
        #expect(await service.count(ship) == 1)
    }

    @Test func touchesNothingForAnEmptyDomain() async throws {
        let service = Service([message(3, Service.ship)])
        try await service.start()

        let flush = try await service.flush()

        #expect(flush.state == .finished && flush.matched == 0 && flush.finishedAt != nil)
        #expect(service.queue.releases.isEmpty)
        let again = try await service.server.flush(flush.id, waitingFor: .seconds(10))
        #expect(again == flush)
    }

    @Test func aQueueInTroubleIsToldToTheAskerAfterARefusalAndStopsNoAdd() async throws {
        let service = Service([message(1)])
        try await service.start()
        service.queue.currentTrouble = "the queue manager is down"

        await #expect(throws: FlushError.queueUnavailable(reason: "the queue manager is down")) { try await service.flush() }
        await #expect(throws: FlushError.messageNotFound(Samples.queueID(9))) {
            try await service.server.flush(FlushRequest(.message(Samples.queueID(9)), via: .http, requestedBy: "test"))
        }
        await service.server.add(Samples.queueID(2), to: branch)
        #expect(await service.count() == 2)
        #expect(await service.server.impediments() == ["the queue manager is down"])
        #expect(service.queue.releases.isEmpty)

        service.queue.currentTrouble = nil
        #expect(try await service.flush().matched == 2)
        #expect(await service.server.impediments().isEmpty)
    }

    @Test func anEmptyFlushIsNotShownAsRunning() async throws {
        let service = Service([message(1)])
        try await service.start()
        service.queue.leave(Samples.queueID(1))
        try await until("the message has left the record") { await service.count() == 0 }

        _ = try await service.flush()

        #expect(await service.server.domain(branch)?.summary.lastFlush?.state == .finished)
    }

    @Test func showsHowTheLastFlushEnded() async throws {
        let service = Service([message(1)])
        try await service.start()
        let flush = try await service.flush()
        #expect(await service.server.domain(branch)?.summary.lastFlush?.state == .running)
        try await service.waitForReleases(1)
        service.queue.deferAgain(Samples.queueID(1), reason: "451 later")

        try await service.ended(flush)

        let summary = await service.server.domain(branch)?.summary
        #expect(summary?.lastFlush?.state == .finished && summary?.lastFlush?.id == flush.id)
        #expect(summary?.lastReason == "451 later")
    }

    @Test func countsEachAnswerOfTheQueue() async throws {
        let service = Service([message(1), message(2, place: .held), message(3, place: .inDelivery), message(4), message(5)])
        try await service.start()
        service.queue.changeSilently { $0[Samples.queueID(4)] = nil }
        service.queue.releaseResults[Samples.queueID(5)] = .failed(reason: "permission denied")

        let flush = try await service.flush()
        try await service.waitForReleases(1)
        let seen = try await service.flush(flush.id, "the release was answered") { $0.open == 1 }

        #expect(seen.matched == 5 && seen.released == 1 && seen.held == 1 && seen.inDelivery == 1 && seen.vanished == 1 && seen.unreleased == 1)
        #expect(seen.lastReason == "permission denied")
        expectSums(seen)
        // All but what has vanished stay recorded.
        #expect(await service.count() == 4)
        service.queue.bounce(Samples.queueID(1))
        #expect(try await service.ended(flush).bounced == 1)
    }

    @Test func isJudgedOnlyByTheRecipientsThatAreMeant() async throws {
        let service = Service([message(1, Service.branch, Service.ship), message(2, Service.branch, Service.ship)])
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)

        var rest = message(1, ship)
        service.queue.finish(
            DeliveryAttempt(
                id: rest.id, flush: flush.id, remaining: rest,
                outcomes: [.init(domain: branch, delivered: 1), .init(domain: ship, deferred: 1, reason: "away")]))
        rest = message(2, branch)
        service.queue.finish(
            DeliveryAttempt(
                id: rest.id, flush: flush.id, remaining: rest,
                outcomes: [.init(domain: branch, deferred: 1, reason: "full"), .init(domain: ship, delivered: 1)]))

        let ended = try await service.ended(flush)
        #expect(ended.delivered == 1 && ended.deferredAgain == 1 && ended.lastReason == "full")
        #expect(await service.count() == 1)
        #expect(await service.count(ship) == 1)
    }

    @Test func takesAnOutcomeThatComesBeforeTheReleasesAnswer() async throws {
        let service = Service((1...50).map { message($0) })
        try await service.start()
        // The fake ends each attempt inside `release`.
        service.queue.script(.delivered, for: branch)

        let ended = try await service.ended(try await service.flush())

        #expect(ended.delivered == 50 && ended.released == 50)
    }

    @Test func leavesAMessageOfAnotherOpenFlushToIt() async throws {
        let service = Service([message(1, Service.branch, Service.ship)])
        try await service.start()
        let first = try await service.flush()
        try await service.waitForReleases(1)
        try await service.flush(first.id, "the release was answered") { $0.open == 1 }

        let second = try await service.ended(try await service.flush(ship))

        #expect(second.inDelivery == 1 && second.released == 0)
        #expect(service.queue.releases.count == 1)
        service.queue.deliver(Samples.queueID(1))
        #expect(try await service.ended(first).delivered == 1)
    }

    @Test func releasesAMessageAgainInTheNextFlush() async throws {
        let service = Service([message(1)])
        try await service.start()
        let first = try await service.flush()
        try await service.waitForReleases(1)
        service.queue.deferAgain(Samples.queueID(1))
        #expect(try await service.ended(first).deferredAgain == 1)
        #expect(await service.count() == 1)

        let second = try await service.flush()
        try await service.waitForReleases(2)
        service.queue.deliver(Samples.queueID(1))

        #expect(second.id > first.id)
        #expect(try await service.ended(second).delivered == 1)
        // The first flush keeps its own outcome.
        #expect(try await service.ended(first).delivered == 0)
    }

    @Test func countsAMessageThatLeftAsDeparted() async throws {
        let service = Service([message(1)])
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)

        service.queue.leave(Samples.queueID(1))

        #expect(try await service.ended(flush).departed == 1)
    }

    @Test func whatIsNoLongerMeantStaysRecordedForOthers() async throws {
        let service = Service([message(1, Service.branch, Service.ship)])
        try await service.start()
        service.queue.releaseResults[Samples.queueID(1)] = .vanished

        let ended = try await service.ended(try await service.flush())

        #expect(ended.vanished == 1)
        #expect(await service.count() == 0)
        #expect(await service.count(ship) == 1)
    }

    @Test func endsWhenTheQueueRefuses() async throws {
        let service = Service((1...30).map { message($0) })
        try await service.start()
        service.queue.releaseFailure = .unavailable("the disk is gone")

        let ended = try await service.ended(try await service.flush())

        #expect(ended.unreleased == 30 && ended.released == 0 && ended.state == .finished)
        #expect(ended.lastReason == "the disk is gone")
        #expect(await service.count() == 30)
        // And they can be flushed as soon as it is back.
        service.queue.releaseFailure = nil
        service.queue.script(.delivered, for: branch)
        #expect(try await service.ended(try await service.flush()).delivered == 30)
    }

    // MARK: Probes

    @Test func releasesTheRestAsSoonAsOneProbeGotThrough() async throws {
        let service = Service((1...50).map { message($0) })
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)
        #expect(service.queue.releases[0].count == 20)
        #expect(service.queue.unthrottled == [true])

        service.queue.deliver(service.queue.releases[0][7])
        try await service.waitForReleases(2)

        #expect(service.queue.unthrottled == [true, false])
        #expect(Set(service.queue.releases.joined()).count == 50)
        try await service.flush(flush.id, "all are released") { $0.released == 50 }
        for id in service.queue.messages.keys { service.queue.deliver(id) }
        #expect(try await service.ended(flush).delivered == 50)
    }

    @Test func leavesTheRestWhenEveryProbeCameBack() async throws {
        let service = Service((1...50).map { message($0) })
        try await service.start()
        service.queue.script(.deferred(reason: "no route to host"), for: branch)

        let ended = try await service.ended(try await service.flush())

        #expect(ended.released == 20 && ended.deferredAgain == 20 && ended.unreleased == 30)
        #expect(ended.lastReason == "no route to host")
        #expect(service.queue.released.count == 20)
        #expect(await service.count() == 50)
    }

    @Test func releasesTheRestWhenTheProbesTellNothingInTime() async throws {
        let service = Service((1...50).map { message($0) }) { $0.probeWait = .seconds(30) }
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)
        try await service.flush(flush.id, "the probes are out") { $0.open == 20 }
        // All but one came back: the site may still answer.
        for id in service.queue.releases[0].dropFirst() { service.queue.deferAgain(id) }
        try await service.flush(flush.id, "they came back") { $0.deferredAgain == 19 }
        #expect(service.queue.releases.count == 1)

        // The outcome limit, the end of the probes' time, and the three loops.
        await service.time.waitForSleepers(5)
        await service.time.advance(by: .seconds(30))
        try await service.waitForReleases(2)

        try await service.flush(flush.id, "all are released") { $0.released == 50 }
    }

    @Test func aPartlyDeliveredProbeIsAnAnswer() async throws {
        let service = Service([message(1), message(2)]) { $0.probeMessages = 1 }
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)
        let id = service.queue.releases[0][0]

        service.queue.finish(
            DeliveryAttempt(
                id: id, flush: flush.id,
                remaining: service.queue.messages[id].map {
                    QueuedMessage(
                        id: id, place: .deferred, arrival: $0.arrival, size: $0.size, domains: $0.domains)
                },
                outcomes: [.init(domain: branch, delivered: 1, deferred: 1, reason: "greylisted")]))

        try await service.waitForReleases(2)
        #expect(service.queue.released.count == 2)
    }

    @Test func probesOnUntilEnoughMessagesReallyWentOut() async throws {
        let service = Service((1...60).map { message($0, place: $0 <= 30 ? .held : .deferred) })
        try await service.start()

        _ = try await service.flush()
        try await until("twenty are out") { service.queue.released.count == 20 }

        #expect(service.queue.unthrottled.allSatisfy { $0 })
    }

    @Test func releasesEverythingAtOnceWithoutProbes() async throws {
        let service = Service((1...450).map { message($0) }) { $0.probeMessages = 0 }
        try await service.start()

        let flush = try await service.flush()
        try await service.flush(flush.id, "all are released") { $0.released == 450 }

        // In batches, and told to forget that the site was found dead: nobody else will.
        #expect(service.queue.releases.map(\.count) == batches(of: 450))
        #expect(service.queue.unthrottled.allSatisfy { $0 })
    }

    // MARK: Joining

    @Test func joinsTheRunningFlushWhileNothingNewWasRecorded() async throws {
        let service = Service([message(1), message(2)])
        try await service.start()
        let first = try await service.flush()

        let second = try await service.flush()
        let others = try await service.flush(subdomains: true)

        #expect(second.id == first.id && second.coalesced && !first.coalesced)
        #expect(others.id != first.id)
    }

    @Test func startsAnewWhenSomethingWasRecordedSinceTheSnapshot() async throws {
        let service = Service([message(1), message(2)])
        try await service.start()
        let first = try await service.flush()
        try await service.waitForReleases(1)
        try await service.flush(first.id, "the release was answered") { $0.open == 2 }

        await service.server.add(Samples.queueID(9), to: ship)
        #expect(try await service.flush().id == first.id)
        await service.server.add(Samples.queueID(3), to: branch)
        let second = try await service.flush()

        #expect(second.id != first.id && !second.coalesced && second.matched == 3)
        // The add belongs to the second flush.
        #expect(try await service.server.flush(first.id, waitingFor: .zero)?.matched == 2)
    }

    @Test func startsAnewAfterOneMessageWasDeferredAgain() async throws {
        let service = Service([message(1), message(2)])
        try await service.start()
        let first = try await service.flush()
        try await service.waitForReleases(1)
        service.queue.deferAgain(Samples.queueID(1))
        try await service.flush(first.id, "one came back") { $0.deferredAgain == 1 }

        let second = try await service.flush()
        try await service.waitForReleases(2)

        #expect(second.id != first.id)
        #expect(service.queue.releases[1] == [Samples.queueID(1)])
        #expect(try await service.flush(second.id, "the other is owned by the first") { $0.released == 1 }.inDelivery == 1)
    }

    // MARK: Cancelling and limits

    @Test func cancellingLeavesWhatWasNotReleased() async throws {
        let service = Service((1...50).map { message($0) })
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)
        try await service.flush(flush.id, "the probes are out") { $0.open == 20 }

        let cancelled = try await service.server.cancel(flush.id)
        #expect(cancelled?.state == .cancelled)
        service.queue.deliver(service.queue.releases[0][0])
        for id in service.queue.releases[0].dropFirst() { service.queue.deferAgain(id) }
        let ended = try await service.flush(flush.id, "its probes have their outcomes") { $0.finishedAt != nil }

        #expect(ended.state == .cancelled && ended.released == 20 && ended.delivered == 1 && ended.unreleased == 30 && ended.open == 0)
        expectSums(ended)
        #expect(service.queue.releases.count == 1)
        #expect(try await service.server.cancel(flush.id) == ended)
        #expect(try await service.server.cancel(Samples.flushID(1)) == nil)
    }

    @Test func aNewRequestDoesNotJoinACancelledFlush() async throws {
        let service = Service((1...50).map { message($0) })
        try await service.start()
        let flush = try await service.flush()
        _ = try await service.server.cancel(flush.id)

        #expect(try await service.flush().id != flush.id)
    }

    @Test func endsAtTheOutcomeLimitWithTheUnknownsOpen() async throws {
        let service = Service([message(1), message(2)]) { $0.outcomeLimit = .seconds(3600) }
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)
        service.queue.deliver(Samples.queueID(1))
        try await service.flush(flush.id, "one is delivered") { $0.delivered == 1 && $0.open == 1 }
        await service.time.waitForSleepers(4)

        await service.time.advance(by: .seconds(3600))
        let ended = try await service.ended(flush)

        #expect(ended.state == .finished && ended.open == 1)
        // A late outcome changes nothing, and the message is free for the next.
        service.queue.deliver(Samples.queueID(2))
        try await until("it has left the record") { await service.count() == 0 }
        #expect(try await service.ended(flush) == ended)
    }

    @Test func endsAlsoWhenTheQueueNeverAnswers() async throws {
        let service = Service([message(1)])
        try await service.start()
        service.queue.closeGate()
        let flush = try await service.flush()
        await service.time.waitForSleepers(4)

        await service.time.advance(by: .seconds(3600))
        let ended = try await service.ended(flush)

        #expect(ended.unreleased == 1 && ended.state == .finished)
        service.queue.openGate()
        try await service.waitForReleases(1)
        #expect(try await service.ended(flush) == ended)
    }

    @Test func waitsForTheEndAsLongAsTheAskerHasPatience() async throws {
        let service = Service([message(1)])
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)
        async let patient = service.server.flush(flush.id, waitingFor: .seconds(60))
        async let hasty = service.server.flush(flush.id, waitingFor: .seconds(5))
        await service.time.waitForSleepers(6)

        await service.time.advance(by: .seconds(5))
        #expect(try await hasty?.state == .running)
        service.queue.deliver(Samples.queueID(1))

        #expect(try await patient?.state == .finished)
        #expect(await service.server.waiters.isEmpty)
    }

    @Test func keepsNothingOfFlushesThatHaveEnded() async throws {
        let service = Service()
        try await service.start()
        service.queue.script(.delivered, for: branch)
        for number in 1...200 {
            service.queue.arrive(message(number))
            try await until("it is recorded") { await service.count() == 1 }
            try await service.ended(try await service.flush())
        }

        #expect(await service.server.latest.isEmpty)
        #expect(await service.server.waiters.isEmpty)
        #expect(await service.server.tracker.runningCount == 0)
        #expect(await service.server.index.messageCount == 0)
        try await until("no timer is left") { service.time.sleepers == 3 }
    }

    // MARK: One message

    @Test func flushesOneMessageForAllItsRecipients() async throws {
        let service = Service([message(1, Service.branch, Service.ship), message(2)])
        try await service.start()

        let flush = try await service.server.flush(Service.request(.message(Samples.queueID(1))))
        try await service.waitForReleases(1)
        #expect(service.queue.releaseCalls[0].selector == .message(Samples.queueID(1)))
        #expect(service.queue.unthrottled == [true])
        service.queue.finish(
            DeliveryAttempt(
                id: Samples.queueID(1), flush: flush.id, remaining: message(1, ship),
                outcomes: [.init(domain: branch, delivered: 1), .init(domain: ship, deferred: 1)]))

        #expect(try await service.ended(flush).deferredAgain == 1)
    }

    @Test func doesNotKnowAMessageThatACompleteIndexDoesNotHave() async throws {
        let service = Service()
        try await service.start()

        await #expect(throws: FlushError.messageNotFound(Samples.queueID(1))) {
            try await service.server.flush(Service.request(.message(Samples.queueID(1))))
        }
    }

    @Test func asksTheQueueForAMessageWhileTheIndexIsIncomplete() async throws {
        let service = Service([message(1)])
        let flush = try await service.server.flush(Service.request(.message(Samples.queueID(1))))
        try await service.waitForReleases(1)

        #expect(flush.matched == 1)
        #expect(service.queue.released == [Samples.queueID(1)])
    }

    @Test func previewsWithoutTouchingAnything() async throws {
        let service = Service([message(1), message(2)])
        try await service.start()

        let preview = try await service.server.preview(Service.request(.domain(branch, subdomains: false)))

        #expect(preview.dryRun && preview.matched == 2 && preview.state == .finished)
        #expect(service.queue.releases.isEmpty)
        #expect(try await service.server.flush(preview.id, waitingFor: .zero) == nil)
        #expect(await service.server.domain(branch)?.summary.lastFlush == nil)
    }

    @Test func reachesSubdomainsOnlyWhenAsked() async throws {
        let below = Samples.domain("x.branch.example")
        let beside = Samples.domain("a-branch.example")
        let glued = Samples.domain("xbranch.example")
        let service = Service([message(1), message(2, below), message(3, beside), message(4, glued)])
        try await service.start()
        service.queue.script(.delivered, for: branch)
        service.queue.script(.delivered, for: below)

        let own = try await service.ended(try await service.flush())
        let family = try await service.ended(try await service.flush(subdomains: true))

        #expect(own.delivered == 1 && family.delivered == 1)
        #expect(service.queue.released == [Samples.queueID(1), Samples.queueID(2)])
    }
}
