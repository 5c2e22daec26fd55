// What follows on disk, and what a restart makes of it.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct WriteBehindTests {
    let branch = Service.branch
    let ship = Service.ship

    @Test func appendsAnAddWithinASecond() async throws {
        let service = Service()
        try await service.start()

        await service.server.add(Samples.queueID(1), to: branch)
        #expect(service.logs.logs.isEmpty)
        await service.time.advance(by: .seconds(1))
        try await until("it is in the log") { service.logs.logs[branch] == [Samples.queueID(1)] }

        // Told again, it is not written again.
        await service.server.add(Samples.queueID(1), to: branch)
        await service.server.add(Samples.queueID(2), to: branch)
        await service.server.writeBehind()
        #expect(service.logs.changes == [.append(branch, [Samples.queueID(1)]), .append(branch, [Samples.queueID(2)])])
    }

    @Test func removesTheLogOfAnEmptyDomain() async throws {
        let service = Service([message(1)])
        try await service.start()
        await service.server.writeBehind()
        #expect(service.logs.logs[branch] == [Samples.queueID(1)])

        service.queue.deliver(Samples.queueID(1))
        try await until("it has left the record") { await service.count() == 0 }
        await service.server.writeBehind()

        #expect(service.logs.logs.isEmpty)
        // Mail that comes back begins a new log.
        await service.server.add(Samples.queueID(2), to: branch)
        await service.server.writeBehind()
        #expect(service.logs.logs == [branch: [Samples.queueID(2)]])
    }

    @Test func rewritesALogThatIsHalfStale() async throws {
        let service = Service((0..<400).map { message($0) })
        try await service.start()
        await service.server.writeBehind()
        #expect(service.logs.logs[branch]?.count == 400)

        for number in 0..<150 { service.queue.deliver(Samples.queueID(number)) }
        try await until("a third has left") { await service.count() == 250 }
        await service.server.writeBehind()
        #expect(service.logs.logs[branch]?.count == 400)

        for number in 150..<300 { service.queue.deliver(Samples.queueID(number)) }
        try await until("most have left") { await service.count() == 100 }
        await service.server.writeBehind()

        let kept = try #require(service.logs.logs[branch])
        #expect(kept.count <= 2 * 100 + 64 && Set(kept).isSuperset(of: (300..<400).map { Samples.queueID($0) }))
    }

    @Test func aLogStaysBoundedWhileMailComesAndGoes() async throws {
        let service = Service([message(0)])
        try await service.start()
        var largest = 0
        for number in 1...1000 {
            await service.server.add(Samples.queueID(number), to: branch)
            await service.server.forget(Samples.queueID(number))
            await service.server.writeBehind()
            largest = max(largest, service.logs.logs[branch]?.count ?? 0)
        }

        #expect(largest <= 2 * 2 + 64 + 1)
        #expect(service.logs.logs[branch]?.contains(Samples.queueID(0)) == true)
    }

    @Test func rewritesALongLogInSlices() async throws {
        let service = Service()
        try await service.start()
        for number in 0..<12_000 { await service.server.add(Samples.queueID(number), to: branch) }
        service.logs.fail(with: .unavailable("full"))
        await service.server.writeBehind()
        service.logs.fail(with: nil)

        await service.server.writeBehind()

        #expect(service.logs.logs[branch] == (0..<12_000).map { Samples.queueID($0) })
        // No slice is so long that an add waits for it.
        #expect(service.logs.changes.count >= 3)
    }

    @Test func keepsNoMoreThanItsBoundForTheNextWrite() async throws {
        let service = Service()
        try await service.start()
        for number in 0..<60_000 { await service.server.add(Samples.queueID(number), to: number % 2 == 0 ? branch : ship) }
        let kept = await service.server.journal.waitingIDs

        await service.server.writeBehind()

        #expect(kept <= 50_000)
        #expect(service.logs.logs[branch]?.count == 30_000)
        #expect(service.logs.logs[ship]?.count == 30_000)
    }

    @Test(arguments: [0, 1, 2, 3]) func writesAgainWhatTheStoreRefused(_ carriedOut: Int) async throws {
        let domains = (0..<4).map { Samples.domain("d\($0).test") }
        let service = Service(domains.enumerated().map { message($0.offset, $0.element) })
        try await service.start()
        await service.server.writeBehind()
        // One to append, one to rewrite, one to remove, one left alone and then appended.
        service.logs.fail(with: .unavailable("the disk is full"), after: carriedOut)
        for (number, domain) in domains.enumerated() where number != 2 { await service.server.add(Samples.queueID(100 + number), to: domain) }
        await service.server.markForRewrite(domains[1])
        service.queue.deliver(Samples.queueID(2))
        try await until("it has left the record") { await service.count(domains[2]) == 0 }

        for _ in 0..<3 { await service.server.writeBehind() }
        #expect(service.failures.elements.count >= 1)
        #expect(await service.server.journal.isEmpty == false)
        service.logs.fail(with: nil)
        await service.server.writeBehind()

        for number in [0, 1, 3] {
            #expect(Set(service.logs.logs[domains[number]] ?? []) == [Samples.queueID(number), Samples.queueID(100 + number)], "\(number)")
        }
        #expect(service.logs.logs[domains[2]] == nil)
        #expect(await service.server.journal.isEmpty)
    }

    @Test func doesNotHoldUpAnAddWhileTheStoreFails() async throws {
        let service = Service()
        try await service.start()
        service.logs.fail(with: .unavailable("the disk is gone"))
        service.history.failure = .unavailable("the disk is gone")

        for number in 0..<1000 {
            await service.server.add(Samples.queueID(number), to: branch)
            if number % 100 == 0 { await service.server.writeBehind() }
        }

        #expect(await service.count() == 1000)
        #expect(service.failures.elements.isEmpty == false)
    }

    // MARK: History

    @Test func keepsAFlushWithWhatBecameOfIt() async throws {
        let service = Service([message(1)])
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)
        try await service.flush(flush.id, "it is out") { $0.open == 1 }
        await service.server.writeBehind()
        #expect(service.history.kept.map(\.state) == [.running])
        #expect(service.history.kept.map(\.open) == [1])

        service.queue.deliver(Samples.queueID(1))
        let ended = try await service.ended(flush)
        await service.server.writeBehind()

        #expect(service.history.kept == [ended])
        let saves = service.history.saves.count
        await service.server.writeBehind()
        #expect(service.history.saves.count == saves)
    }

    @Test func doesNotKeepWhatMatchedNothing() async throws {
        let service = Service()
        try await service.start()

        _ = try await service.flush()
        await service.server.writeBehind()

        #expect(service.history.kept.isEmpty)
    }

    @Test func keepsAFlushAlsoWhenManyEmptyOnesFollowBeforeItIsWritten() async throws {
        let service = Service([message(1)])
        try await service.start()
        service.queue.script(.delivered, for: branch)
        let ended = try await service.ended(try await service.flush())
        service.history.failure = .unavailable("locked")
        await service.server.writeBehind()

        for _ in 0..<1500 { _ = try await service.flush(ship) }
        #expect(try await service.server.flush(ended.id, waitingFor: .zero) == ended)
        service.history.failure = nil
        #expect(try await service.server.flushes(FlushQuery(domain: branch)) == [ended])
        await service.server.writeBehind()

        #expect(service.history.kept == [ended])
        #expect(await service.server.unsavedEnded.count == 0)
    }

    @Test func writesTheEndOverWhatItWroteBefore() async throws {
        let service = Service([message(1)])
        try await service.start()
        let flush = try await service.flush()
        try await service.waitForReleases(1)
        service.history.failure = .unavailable("locked")
        await service.server.writeBehind()
        service.queue.deliver(Samples.queueID(1))
        try await service.ended(flush)
        service.history.failure = nil

        await service.server.writeBehind()

        #expect(service.history.kept.map(\.state) == [.finished])
    }

    @Test func listsFlushesFromMemoryAndHistoryOnce() async throws {
        let history = InMemoryFlushHistoryStore((1...5).map { Samples.flush($0, .domain(Service.branch, subdomains: false)) })
        let service = Service([message(1), message(2, Service.ship)], history: history)
        try await service.start()
        let own = try await service.flush()
        _ = try await service.flush(ship)
        await service.server.writeBehind()

        let all = try await service.server.flushes(FlushQuery(domain: branch, limit: 3))
        let rest = try await service.server.flushes(FlushQuery(domain: branch, before: all.last?.id, limit: 10))
        let running = try await service.server.flushes(FlushQuery(domain: branch, state: .running))

        #expect(all.map(\.id) == [own.id, Samples.flushID(5), Samples.flushID(4)])
        #expect(rest.map(\.id) == [3, 2, 1].map(Samples.flushID))
        #expect(running.map(\.id) == [own.id])
    }

    // MARK: Restart

    @Test func aRestartInterruptsWhatRanAndKeepsItsCounts() async throws {
        let first = Service([message(1), message(2)])
        try await first.start()
        let flush = try await first.flush()
        try await first.waitForReleases(1)
        first.queue.deliver(Samples.queueID(1))
        try await first.flush(flush.id, "one is delivered") { $0.delivered == 1 && $0.open == 1 }
        await first.server.stop()

        let second = Service([message(2)], logs: first.logs, history: first.history)
        try await second.start()
        let seen = try #require(try await second.server.flush(flush.id, waitingFor: .seconds(60)))

        #expect(seen.state == .interrupted && seen.delivered == 1 && seen.open == 1 && seen.finishedAt != nil)
        #expect(await second.server.domain(branch)?.summary.lastFlush?.id == flush.id)
        #expect(await second.server.domain(branch)?.summary.lastFlush?.state == .interrupted)
        // The message can be flushed again at once.
        #expect(try await second.flush().matched == 1)
    }

    @Test func stoppingWritesWhatIsBehind() async throws {
        let service = Service()
        try await service.start()
        await service.server.add(Samples.queueID(1), to: branch)

        await service.server.stop()

        #expect(service.logs.logs == [branch: [Samples.queueID(1)]])
        try await until("its tasks have ended") { service.time.sleepers == 0 }
    }

    @Test func doesNotStartWithoutItsStores() async throws {
        let history = InMemoryFlushHistoryStore()
        history.failure = .unavailable("not a database")
        let service = Service(history: history)

        await #expect(throws: StoreError.unavailable("not a database")) { try await service.server.start() }
    }

    @Test func countsWhatItDid() async throws {
        let service = Service([message(1), message(2), message(3)])
        try await service.start()
        service.queue.script(.delivered, for: branch)
        try await service.ended(try await service.flush())
        await service.server.add(Samples.queueID(4), to: branch)

        let status = await service.server.status()

        #expect(status.delivered == 3 && status.messagesReleased == 3 && status.flushesRequested == 1 && status.adds == 1)
        #expect(status.flushesRunning == 0 && status.messages == 1)
    }
}

extension FlushServer {
    func markForRewrite(_ domain: DomainName) { journal.rewrite(domain) }
}
