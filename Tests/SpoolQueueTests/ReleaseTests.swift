// What a request for delivery does with each message: the results, and the outcome that always follows.

import FlushCore
import FlushTesting
import Glibc
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct ReleaseTests {
    let customer = DomainName("customer.example")!
    let other = DomainName("other.example")!

    @Test func onlyTheRecipientsThatAreMeantAreTried() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@customer.example", "b@other.example"])

        #expect(try await spool.release([id], .site("customer.example")) == [.released])
        await spool.events.waitForAttempts(1)

        #expect(spool.sites.records.map(\.recipients) == [["a@customer.example"]])
        #expect(spool.events.attempts.first?.outcomes.map(\.domain) == [customer])
        #expect(spool.events.attempts.first?.remaining?.domains == [other])
        await spool.stop()
    }

    @Test func subdomainsAreMeantOnlyWhenAskedFor() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@sub.customer.example"])

        #expect(try await spool.release([id], .site("customer.example")) == [.vanished])
        #expect(try await spool.release([id], .site("sub.customer.example")) == [.released])
        await spool.events.waitForAttempts(1)
        let second = try await spool.send(to: ["a@sub.customer.example"])
        #expect(try await spool.release([second], .site("customer.example", subdomains: true)) == [.released])
        await spool.events.waitForAttempts(2)
        await spool.stop()
    }

    @Test func everyMessageHasItsOwnResult() async throws {
        let spool = try await Spool.open()
        let waiting = try await spool.send(to: ["a@customer.example"])
        let elsewhere = try await spool.send(to: ["b@other.example"])
        let held = try await spool.send(to: ["c@customer.example"])
        let moved = try await spool.send(to: ["d@customer.example"])
        let deleted = try await spool.send(to: ["e@customer.example"])
        let active = try await spool.send(to: ["f@customer.example"])
        for id in [held, moved] { #expect(rename(spool.path("deferred/\(id)"), spool.path("hold/\(id)")) == 0) }
        unlink(spool.path("deferred/\(deleted)"))
        spool.sites.close()
        _ = try await spool.release([active])
        await spool.sites.waitForStarted(1)

        let results = try await spool.release(
            [waiting, elsewhere, held, QueueID("never")!, deleted, active, waiting], .site("customer.example"))

        #expect(results == [.released, .vanished, .held, .vanished, .vanished, .inDelivery, .inDelivery])
        #expect(spool.events.all.contains(.left(deleted)))
        spool.sites.open()
        await spool.events.waitForAttempts(2)
        #expect(spool.events.attempts.count { $0.id == waiting } == 1)
        await spool.stop()
    }

    @Test func mailThatIsMovedBackFromHoldIsReleased() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@customer.example"])
        rename(spool.path("deferred/\(id)"), spool.path("hold/\(id)"))
        #expect(try await spool.release([id]) == [.held])
        rename(spool.path("hold/\(id)"), spool.path("deferred/\(id)"))

        #expect(try await spool.release([id]) == [.released])
        await spool.events.waitForAttempts(1)
        #expect(spool.sites.records.count == 1)
        await spool.stop()
    }

    @Test func theOutcomeCarriesTheFlushThatAskedForIt() async throws {
        let spool = try await Spool.open()
        let flush = FlushID("01JDXYZ0000000000000000000")!
        let id = try await spool.send(to: ["a@customer.example"])

        _ = try await spool.queue.release([id], by: flush, for: .message(id), unthrottle: false)
        await spool.events.waitForAttempts(1)

        #expect(spool.events.attempts.first?.flush == flush)
        await spool.stop()
    }

    @Test func aMessageThatVanishesInItsLaneStillHasAnOutcome() async throws {
        let spool = try await Spool.open(parameters: { $0.deliveryConcurrency = 2 })
        spool.sites.close()
        let first = try await spool.send(to: ["a@customer.example"])
        let second = try await spool.send(to: ["b@customer.example"])
        _ = try await spool.release([first, second])
        await spool.sites.waitForStarted(1)
        unlink(spool.path("incoming/\(second)"))
        spool.sites.open()

        await spool.events.waitForAttempts(2)

        let attempt = try #require(spool.events.attempts.first { $0.id == second })
        #expect(attempt.remaining == nil)
        #expect(attempt.outcomes.isEmpty)
        await spool.stop()
    }

    @Test func aDamagedFileIsPutAsideWithAnOutcome() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@customer.example"])
        truncate(spool.path("deferred/\(id)"), 100)

        #expect(try await spool.release([id]) == [.released])
        await spool.events.waitForAttempts(1)

        #expect(spool.events.attempts.first?.remaining == nil)
        #expect(spool.files("corrupt") == [id.description])
        #expect(spool.sites.started == 0)
        await spool.stop()
    }

    @Test func thousandsAreReleasedInOneCallAndEachHasOneOutcome() async throws {
        let spool = try await Spool.open()
        let ids = try await withThrowingTaskGroup(of: QueueID.self) { group in
            for number in 0..<1_000 { group.addTask { try await spool.send(to: ["u\(number)@customer.example"]) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }

        let results = try await spool.release(ids)
        await spool.events.waitForAttempts(1_000)

        #expect(results == Array(repeating: .released, count: 1_000))
        #expect(Set(spool.events.attempts.map(\.id)) == Set(ids))
        #expect(spool.sites.records.count == 1_000)
        #expect(try await spool.scanned().isEmpty)
        await spool.stop()
    }

    @Test func aStoppedQueueReleasesNothing() async throws {
        let spool = try await Spool.open()
        await spool.stop()

        await #expect(throws: MailQueueError.self) { try await spool.release([QueueID("x")!]) }
    }

    // MARK: Removal

    @Test func aRemovedMessageIsGoneFromTheDisk() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@customer.example"])

        try await spool.queue.remove(id)

        #expect(spool.files("deferred").isEmpty)
        #expect(spool.events.all.last == .left(id))
        await #expect(throws: MailQueueError.notFound(id)) { try await spool.queue.remove(id) }
        #expect(try await spool.queue.describe([id]).isEmpty)
        await spool.stop()
    }

    @Test func whatIsInDeliveryIsNotRemoved() async throws {
        let spool = try await Spool.open()
        spool.sites.close()
        let id = try await spool.send(to: ["a@normal.example"])
        await spool.sites.waitForStarted(1)

        await #expect(throws: MailQueueError.busy(id)) { try await spool.queue.remove(id) }

        spool.sites.open()
        await spool.events.waitForAttempts(1)
        await spool.stop()
    }

    // MARK: Scan

    @Test func theScanTellsWhatIsOnTheDisk() async throws {
        let spool = try await Spool.open()
        let waiting = try await spool.send(to: ["a@customer.example"])
        let deleted = try await spool.send(to: ["b@customer.example"])
        let held = try await spool.send(to: ["c@customer.example"])
        let content = bytes(of: spool.path("deferred/\(waiting)"))
        unlink(spool.path("deferred/\(deleted)"))
        rename(spool.path("deferred/\(held)"), spool.path("hold/\(held)"))
        write(Array("not a queue file".utf8), to: spool.path("deferred/Garbage1"))
        write(content, to: spool.path("deferred/not-an-id.txt"))

        let messages = try await spool.scanned()

        #expect(messages.map(\.id) == [waiting, held])
        #expect(messages.map(\.place) == [.deferred, .held])
        #expect(messages.allSatisfy { $0.domains == [customer] })
        await spool.events.wait { $0.contains(.left(deleted)) }
        await spool.events.wait { $0.contains(.queued(messages[1])) }
        #expect(spool.files("corrupt") == ["Garbage1"])
        #expect(spool.files("deferred") == [waiting.description, "not-an-id.txt"])

        rename(spool.path("hold/\(held)"), spool.path("deferred/\(held)"))
        #expect(try await spool.scanned().map(\.place) == [.deferred, .deferred])
        await spool.stop()
    }

    @Test func theScanComesInPages() async throws {
        let spool = try await Spool.open()
        _ = try await withThrowingTaskGroup(of: QueueID.self) { group in
            for number in 0..<1_200 { group.addTask { try await spool.send(to: ["u\(number)@customer.example"]) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let pages = PageSizes()
        try await spool.queue.scan { page in await pages.add(page.count) }

        #expect(await pages.sizes == [1_000, 200])
        await spool.stop()
    }
}

private actor PageSizes {
    var sizes: [Int] = []
    func add(_ size: Int) { sizes.append(size) }
}
