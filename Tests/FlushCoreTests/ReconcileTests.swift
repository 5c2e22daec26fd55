// How the record follows the queue.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct ReconcileTests {
    let branch = Service.branch
    let ship = Service.ship

    @Test func readsTheQueueAtStart() async throws {
        let service = Service((1...2500).map { message($0, $0 % 2 == 0 ? Service.branch : Service.ship) })

        try await service.start()

        let status = await service.server.status()
        #expect(status.messages == 2500 && status.bytes == 2_500_000 && status.waitingDomains == 2)
        #expect(status.lastReconcile?.missing == 2500 && status.lastReconcile?.stale == 0)
        #expect(status.oldestArrival == Timestamp(seconds: 1_799_990_000))
    }

    @Test func correctsDriftEveryReconcileInterval() async throws {
        let service = Service([message(1), message(2), message(3)]) { $0.reconcileInterval = .seconds(600) }
        try await service.start()
        service.queue.changeSilently {
            $0[Samples.queueID(1)] = nil
            $0[Samples.queueID(2)] = message(2, Service.ship)
            $0[Samples.queueID(4)] = message(4)
        }

        await service.time.advance(by: .seconds(600))
        try await until("the drift was told") { await service.server.status().lastReconcile?.stale == 1 }

        let reconcile = await service.server.status().lastReconcile
        #expect(reconcile?.missing == 1 && reconcile?.stale == 1 && reconcile?.changed == 1 && reconcile?.failure == nil)
        #expect(await service.count() == 2)
        #expect(await service.count(ship) == 1)
    }

    @Test func scansAgainWhenEventsWereLost() async throws {
        let service = Service([message(1)])
        try await service.start()
        service.queue.changeSilently { $0[Samples.queueID(2)] = message(2) }

        service.queue.loseEvents()

        try await until("the message is recorded") { await service.count() == 2 }
    }

    @Test func fulfilsAWishForAScanAfterTheOneThatRuns() async throws {
        let service = Service((1...5000).map { message($0) })
        try await service.start()
        for _ in 0..<10 { service.queue.loseEvents() }
        service.queue.changeSilently { $0[Samples.queueID(6000)] = message(6000) }
        service.queue.loseEvents()

        try await until("the message is recorded") { await service.count() == 5001 }
    }

    @Test func aFailedScanChangesNothingAndIsTriedAgainSoon() async throws {
        let service = Service([message(1)], logs: InMemoryFlushLogStore([Service.branch: [Samples.queueID(1), Samples.queueID(7)]]))
        service.queue.scanFailure = .unavailable("no queue directory")
        try await service.server.start()
        try await until("the failure was told") { await service.server.status().lastReconcile?.failure != nil }

        #expect(await service.server.status().isIndexComplete == false)
        #expect(await service.count() == 2)
        guard case .reconcile? = service.failures.elements.first else {
            Issue.record("not reported: \(service.failures.elements)")
            return
        }

        service.queue.scanFailure = nil
        await service.time.waitForSleepers(3)
        await service.time.advance(by: .seconds(10))
        try await until("the scan has ended") { await service.server.status().isIndexComplete }
        #expect(await service.count() == 1)
        #expect(await service.server.status().lastReconcile?.failure == nil)
    }

    @Test func followsMailAsItComesAndGoes() async throws {
        let service = Service([message(1)])
        try await service.start()

        service.queue.arrive(message(2, branch, ship))
        try await until("it is recorded") { await service.count(ship) == 1 }
        service.queue.hold(Samples.queueID(2))
        service.queue.deliver(Samples.queueID(1))
        try await until("the other has left") { await service.count() == 1 }
        service.queue.finish(
            DeliveryAttempt(id: Samples.queueID(2), remaining: message(2, ship), outcomes: [.init(domain: branch, delivered: 1)]))
        try await until("it waits for one domain less") { await service.count() == 0 }

        #expect(await service.count(ship) == 1)
        #expect(await service.server.status().messages == 1)
    }

    @Test func remembersWhyADomainsMailWaits() async throws {
        let service = Service([message(1)])
        try await service.start()

        service.queue.deferAgain(Samples.queueID(1), reason: "450 4.2.0 greylisted")

        try await until("the reason is shown") { await service.server.domain(branch)?.summary.lastReason == "450 4.2.0 greylisted" }
    }

    @Test func readsTheLogsUntilTheFirstScanHasEnded() async throws {
        let logs = InMemoryFlushLogStore([Service.branch: [Samples.queueID(1), Samples.queueID(9)], Service.ship: [Samples.queueID(8)]])
        let service = Service([message(1)], logs: logs)

        try await service.start()

        // What only the logs knew is gone, in memory and then on disk.
        #expect(await service.count() == 1)
        #expect(await service.count(ship) == 0)
        await service.time.advance(by: .seconds(1))
        try await until("the log is gone") { service.logs.logs[ship] == nil }
    }

    @Test func startsWithoutReadableLogs() async throws {
        let logs = InMemoryFlushLogStore()
        logs.loadFailure = .unavailable("no such directory")
        let service = Service([message(1)], logs: logs)

        try await service.start()

        #expect(service.failures.elements == [.loadLogs("no such directory")])
        #expect(await service.count() == 1)
    }

    // MARK: Refresh and purge

    @Test func refreshesWhatNobodyHasReadForLong() async throws {
        let etrnOnly = Samples.domain("ship.example")
        var relayDomain = Samples.relayDomain("ship.example")
        relayDomain.delivery = .etrnOnly
        let service = Service([message(1), message(2, etrnOnly)], relayDomains: [relayDomain]) { $0.refreshTime = .seconds(3600) }
        try await service.start()
        #expect(await service.server.refresh() == 0)
        service.time.jump(by: .seconds(3600))

        let released = await service.server.refresh()

        #expect(released == 1)
        #expect(service.queue.released == [Samples.queueID(1)])
        #expect(service.queue.releaseCalls.map(\.flush) == [nil])
        #expect(service.queue.unthrottled == [false])
        // Read now: not due again.
        service.queue.deferAgain(Samples.queueID(1))
        #expect(await service.server.refresh() == 0)
    }

    @Test func aFlushCountsAsReading() async throws {
        let service = Service([message(1)]) { $0.refreshTime = .seconds(3600) }
        try await service.start()
        service.time.jump(by: .seconds(3000))
        _ = try await service.flush()
        try await service.waitForReleases(1)
        service.queue.deferAgain(Samples.queueID(1))
        service.time.jump(by: .seconds(3000))

        #expect(await service.server.refresh() == 0)
    }

    @Test func purgesRecordsThatHaveBeenEmptyForLong() async throws {
        let old = Samples.domain("old.test")
        let service = Service([message(1), message(2, old)]) { $0.purgeTime = .seconds(3600) }
        try await service.start()
        service.queue.deliver(Samples.queueID(1))
        service.queue.deliver(Samples.queueID(2))
        try await until("both are empty") { await service.server.status().messages == 0 }
        #expect(await service.server.purge() == 0)
        service.time.jump(by: .seconds(3601))

        let purged = await service.server.purge()

        #expect(purged == 1)
        #expect(await service.server.domain(old) == nil)
        // A listed domain stays.
        #expect(await service.server.domains(DomainQuery()).map(\.domain) == [branch, ship])
    }

    // MARK: What can be asked

    @Test func pagesDomainsByName() async throws {
        let service = Service((0..<30).map { message($0, Samples.domain("d\($0 + 10).test")) }, fast: "d")
        try await service.start()
        var seen: [String] = []
        var after: DomainName?
        repeat {
            let page = await service.server.domains(DomainQuery(after: after, prefix: "d", waitingOnly: true, limit: 7))
            #expect(page.count <= 7)
            seen += page.map(\.domain.description)
            after = page.last?.domain
        } while after != nil && seen.count < 30

        #expect(seen == (0..<30).map { "d\($0 + 10).test" })
        #expect(await service.server.domains(DomainQuery(prefix: "d2", limit: 100)).count == 10)
        #expect(await service.server.domains(DomainQuery(after: Samples.domain("d39.test"), prefix: "d", limit: 100)).isEmpty)
    }

    @Test func sortsMailIntoAges() async throws {
        let now: Int64 = 1_800_000_000
        let ages: [Int64] = [-60, 0, 299, 300, 1279 * 60, 1280 * 60, 90 * 86400]
        let service = Service(ages.enumerated().map { message($0.offset, arrival: now - $0.element) })
        try await service.start()

        let detail = try #require(await service.server.domain(branch))

        #expect(detail.ageBuckets == [3, 1, 0, 0, 0, 0, 0, 0, 1, 2])
        #expect(detail.summary.oldestArrival == Timestamp(seconds: now - 90 * 86400))
    }

    @Test func removesAMessageOnRequest() async throws {
        let service = Service([message(1), message(2, place: .inDelivery)])
        try await service.start()

        try await service.server.remove(Samples.queueID(1))

        #expect(await service.count() == 1)
        await #expect(throws: FlushError.messageBusy(Samples.queueID(2))) { try await service.server.remove(Samples.queueID(2)) }
        await #expect(throws: FlushError.messageNotFound(Samples.queueID(1))) { try await service.server.remove(Samples.queueID(1)) }
        #expect(await service.count() == 1)
    }
}
