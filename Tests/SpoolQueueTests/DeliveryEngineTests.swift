// From the spool to the sites: attempts, retries, suspension, expiry.

import FlushCore
import FlushTesting
import Synchronization
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct DeliveryEngineTests {
    let normal = DomainName("normal.example")!
    let customer = DomainName("customer.example")!
    let other = DomainName("other.example")!

    @Test func normalMailIsTriedAtOnceAndIsGoneWhenDelivered() async throws {
        let spool = try await Spool.open()

        let id = try await spool.send(to: ["user@normal.example"])
        await spool.events.waitForAttempts(1)

        let outcomes = [DomainOutcome(domain: normal, delivered: 1)]
        #expect(spool.events.attempts == [DeliveryAttempt(id: id, remaining: nil, outcomes: outcomes, siteAnswered: true)])
        #expect(spool.sites.records.map(\.recipients) == [["user@normal.example"]])
        #expect(spool.sites.records.map(\.sender) == ["alice@origin.example"])
        #expect(SpoolFolder.queue.flatMap { spool.files($0.name) }.isEmpty)
        #expect(try await spool.scanned().isEmpty)
        await spool.stop()
    }

    @Test func etrnOnlyMailWaitsUntilItIsAskedFor() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["user@customer.example"])
        await spool.time.advance(by: .seconds(86_400))

        #expect(spool.sites.started == 0)
        #expect(try await spool.queue.describe([id]).first?.nextAttempt == nil)
        #expect(try await spool.release([id]) == [.released])
        await spool.events.waitForAttempts(1)
        #expect(spool.events.attempts.first?.remaining == nil)
        #expect(spool.sites.records.count == 1)
        await spool.stop()
    }

    @Test func aRefusalForNowIsRetriedWithBackOff() async throws {
        let spool = try await Spool.open()
        spool.sites.answer("user@normal.example", .deferred(reason: "450 4.2.1 not now"))

        let id = try await spool.send(to: ["user@normal.example"])
        await spool.events.waitForAttempts(1)

        let attempt = try #require(spool.events.attempts.first)
        #expect(attempt.outcomes == [DomainOutcome(domain: normal, deferred: 1, reason: "450 4.2.1 not now")])
        #expect(attempt.remaining?.place == .deferred)
        #expect(attempt.remaining?.domains == [normal])
        #expect(spool.files("deferred") == [id.description])
        let description = try #require(try await spool.queue.describe([id]).first)
        #expect(description.recipients == [.init(address: "user@normal.example", state: .pending, reason: "450 4.2.1 not now")])
        #expect(description.nextAttempt == spool.time.now + .seconds(300))
        #expect(description.history.map(\.result) == ["deferred"])

        await spool.time.advance(by: .seconds(299))
        #expect(spool.sites.started == 1)
        spool.sites.answer("user@normal.example", nil)
        await spool.time.advance(by: .seconds(2))
        await spool.events.waitForAttempts(2)
        #expect(spool.events.attempts.last?.remaining == nil)
        await spool.stop()
    }

    @Test func aRetryIsAnnouncedAsInDelivery() async throws {
        let spool = try await Spool.open()
        spool.sites.answer("user@normal.example", .deferred(reason: "not now"))
        try await spool.send(to: ["user@normal.example"])
        await spool.events.waitForAttempts(1)
        await spool.time.advance(by: .seconds(301))
        await spool.events.waitForAttempts(2)

        let kinds = spool.events.all.map { event -> String in
            switch event {
            case .queued(let message): "queued \(message.place)"
            case .attempted(let attempt): "attempted \(attempt.remaining.map { "\($0.place)" } ?? "gone")"
            default: "\(event)"
            }
        }
        #expect(kinds == ["queued inDelivery", "attempted deferred", "queued inDelivery", "attempted deferred"])
        await spool.stop()
    }

    @Test func eachRecipientHasItsOwnOutcome() async throws {
        let spool = try await Spool.open()
        spool.sites.answer("later@normal.example", .deferred(reason: "450 later"))
        spool.sites.answer("never@normal.example", .bounced(reply: "550 5.1.1 no such user"))

        let id = try await spool.send(to: ["ok@normal.example", "later@normal.example", "never@normal.example"])
        await spool.events.waitForAttempts(1)

        let attempt = try #require(spool.events.attempts.first)
        #expect(attempt.outcomes.map { [$0.delivered, $0.deferred, $0.bounced] } == [[1, 1, 1]])
        #expect(attempt.remaining?.domains == [normal])
        let states = try #require(try await spool.queue.describe([id]).first).recipients.map(\.state)
        #expect(states == [.delivered, .pending, .bounced])

        spool.sites.answer("later@normal.example", nil)
        await spool.time.advance(by: .seconds(301))
        await spool.events.waitForAttempts(2)
        #expect(spool.sites.records.map(\.recipients) == [["ok@normal.example"], ["later@normal.example"]])
        await spool.stop()
    }

    @Test func twoNextHopsMakeTwoTransmissionsAndOneEvent() async throws {
        let spool = try await Spool.open()
        spool.sites.setDown("mail.other.example", "connect to mail.other.example: Connection refused")
        let id = try await spool.send(to: ["a@customer.example", "b@other.example", "c@customer.example"])

        #expect(try await spool.release([id]) == [.released])
        await spool.events.waitForAttempts(1)

        let attempt = try #require(spool.events.attempts.first)
        #expect(Set(attempt.outcomes.map(\.domain)) == [customer, other])
        #expect(attempt.outcomes.first { $0.domain == customer }?.delivered == 2)
        #expect(attempt.outcomes.first { $0.domain == other }?.deferred == 1)
        #expect(attempt.remaining?.domains == [other])
        #expect(spool.events.attempts.count == 1)
        await spool.stop()
    }

    @Test func domainsOfOneNextHopShareATransmission() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@customer.example", "b@sub.customer.example"])

        _ = try await spool.release([id])
        await spool.events.waitForAttempts(1)

        #expect(spool.sites.started == 1)
        #expect(spool.sites.records.map(\.recipients) == [["a@customer.example", "b@sub.customer.example"]])
        await spool.stop()
    }

    // MARK: Dead next hops

    @Test func aDeadNextHopIsLeftAloneAndOthersAreNot() async throws {
        let spool = try await Spool.open()
        spool.routes["alive.example"] = .normal("mail.alive.example")
        spool.sites.setDown("mail.normal.example", "connect to mail.normal.example[192.0.2.1]:25: Connection refused")
        try await spool.send(to: ["a@normal.example"])
        await spool.events.waitForAttempts(1)

        let second = try await spool.send(to: ["b@normal.example"])
        try await spool.send(to: ["c@alive.example"])
        await spool.events.waitForAttempts(2)

        #expect(spool.sites.started == 2)
        #expect(spool.sites.records.map(\.host) == ["mail.alive.example"])
        let description = try #require(try await spool.queue.describe([second]).first)
        #expect(description.place == .deferred)
        #expect(description.recipients.first?.reason?.hasPrefix("delivery temporarily suspended: connect to") == true)

        spool.sites.setDown("mail.normal.example", nil)
        await spool.time.advance(by: .seconds(700))
        await spool.events.waitForAttempts(4)
        #expect(spool.sites.records.count == 3)
        await spool.stop()
    }

    @Test func aPlainReleaseRespectsTheSuspensionAndStillHasAnOutcome() async throws {
        let spool = try await Spool.open()
        spool.sites.setDown("mail.customer.example", "Connection refused")
        let first = try await spool.send(to: ["a@customer.example"])
        let second = try await spool.send(to: ["b@customer.example"])
        _ = try await spool.release([first])
        await spool.events.waitForAttempts(1)

        #expect(try await spool.release([second]) == [.released])
        await spool.events.waitForAttempts(2)

        #expect(spool.sites.started == 1)
        #expect(spool.events.attempts[1].id == second)
        #expect(
            spool.events.attempts[1].outcomes == [
                DomainOutcome(domain: customer, deferred: 1, reason: "delivery temporarily suspended: Connection refused")
            ])
        #expect(spool.events.attempts[1].remaining?.place == .deferred)
        #expect(spool.files("deferred").count == 2)
        await spool.stop()
    }

    @Test func unthrottleTriesAllTheSameAndForgets() async throws {
        let spool = try await Spool.open()
        spool.sites.setDown("mail.customer.example", "Connection refused")
        let first = try await spool.send(to: ["a@customer.example"])
        let second = try await spool.send(to: ["b@customer.example"])
        _ = try await spool.release([first])
        await spool.events.waitForAttempts(1)
        spool.sites.setDown("mail.customer.example", nil)

        _ = try await spool.release([first], unthrottle: true)
        await spool.events.waitForAttempts(2)
        _ = try await spool.release([second])
        await spool.events.waitForAttempts(3)

        #expect(spool.sites.records.count == 2)
        #expect(try await spool.scanned().isEmpty)
        await spool.stop()
    }

    @Test func aNextHopThatHasAnsweredTakesHalfOfTheSlots() async throws {
        let spool = try await Spool.open(parameters: { $0.deliveryConcurrency = 8 })
        _ = try await spool.release([try await spool.send(to: ["first@customer.example"])])
        await spool.events.waitForAttempts(1)
        spool.sites.close()
        var ids: [QueueID] = []
        for number in 0..<40 { ids.append(try await spool.send(to: ["u\(number)@customer.example"])) }
        ids.append(try await spool.send(to: ["u@other.example"]))

        _ = try await spool.release(ids)
        await spool.sites.waitForStarted(6)
        #expect(spool.sites.started == 6, "the first, four of the same site, and one of another")

        spool.sites.open()
        await spool.events.waitForAttempts(42)
        #expect(spool.sites.mostAtOnce <= 8)
        #expect(spool.sites.records.count == 42)
        await spool.stop()
    }

    @Test func aNextHopThatHasNotAnsweredTakesATenthOfTheSlots() async throws {
        let spool = try await Spool.open(parameters: { $0.deliveryConcurrency = 20 })
        spool.sites.close()
        var ids: [QueueID] = []
        for number in 0..<40 { ids.append(try await spool.send(to: ["u\(number)@customer.example"])) }
        for number in 0..<40 { ids.append(try await spool.send(to: ["u\(number)@other.example"])) }

        _ = try await spool.release(ids)
        await spool.sites.waitForStarted(4)
        #expect(spool.sites.started == 4)

        spool.sites.open()
        await spool.events.waitForAttempts(80)
        #expect(spool.sites.records.count == 80)
        await spool.stop()
    }

    // MARK: Expiry

    @Test func mailThatIsTooOldIsGivenBack() async throws {
        let spool = try await Spool.open(parameters: { $0.maximalQueueLifetime = .seconds(3_600) })
        spool.sites.answer("user@normal.example", .deferred(reason: "450 not now"))
        let id = try await spool.send(to: ["user@normal.example"])
        await spool.events.waitForAttempts(1)

        await spool.time.advance(by: .seconds(3_700))
        await spool.events.wait { events in events.contains { if case .attempted(let attempt) = $0 { attempt.remaining == nil } else { false } } }

        let last = try #require(spool.events.attempts.last)
        #expect(last.outcomes.map { [$0.deferred, $0.bounced] } == [[0, 1]])
        #expect(last.outcomes.first?.reason?.hasPrefix("message expired after 36") == true)
        let report = try #require(try await spool.queue.bounces(after: nil, limit: 10).first)
        #expect(report.original == id)
        #expect(report.recipients == ["user@normal.example"])
        await spool.stop()
    }

    @Test func etrnOnlyMailExpiresWithoutAnAttempt() async throws {
        let spool = try await Spool.open(parameters: { $0.maximalQueueLifetime = .seconds(3_600) })
        try await spool.send(to: ["user@customer.example"])

        await spool.time.advance(by: .seconds(3_601))
        await spool.events.waitForAttempts(1)

        #expect(spool.sites.started == 0)
        #expect(spool.events.attempts.first?.remaining == nil)
        #expect(spool.events.attempts.first?.outcomes.first?.bounced == 1)
        #expect(spool.files("bounces").count == 1)
        #expect(spool.files("deferred").isEmpty)
        await spool.stop()
    }

    @Test func aLifetimeOfZeroMeansOneAttempt() async throws {
        let spool = try await Spool.open(parameters: { $0.maximalQueueLifetime = .zero })
        spool.sites.answer("user@customer.example", .deferred(reason: "450 not now"))
        let id = try await spool.send(to: ["user@customer.example"])
        await spool.time.advance(by: .seconds(100_000))
        #expect(spool.events.attempts.isEmpty)

        _ = try await spool.release([id])
        await spool.events.waitForAttempts(1)

        #expect(spool.events.attempts.first?.remaining == nil)
        #expect(spool.events.attempts.first?.outcomes.first?.bounced == 1)
        #expect(spool.files("bounces").count == 1)
        await spool.stop()
    }

    // MARK: Routes

    @Test func aDomainThatIsNoLongerRelayedWaits() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["user@customer.example"])
        spool.routes["customer.example"] = nil

        #expect(try await spool.release([id]) == [.released])
        await spool.events.waitForAttempts(1)

        #expect(spool.sites.started == 0)
        #expect(spool.events.attempts.first?.outcomes.first?.reason == "customer.example belongs to no relay domain any more")
        #expect(spool.files("deferred") == [id.description])
        await spool.stop()
    }

    @Test func mailIsTriedWhenItsDomainStopsWaitingForETRN() async throws {
        let spool = try await Spool.open()
        try await spool.send(to: ["user@customer.example"])
        spool.routes["customer.example"]?.etrnOnly = false

        await spool.queue.routesChanged()
        await spool.time.advance(by: .seconds(1))
        await spool.events.waitForAttempts(1)

        #expect(spool.sites.records.count == 1)
        await spool.stop()
    }

    @Test func aNextHopThatNeedsMXIsRefusedWithAReason() async throws {
        let spool = try await Spool.open()
        spool.routes["customer.example"]?.nextHop = try NextHop(parsing: "mail.customer.example:25")
        let id = try await spool.send(to: ["user@customer.example"])

        _ = try await spool.release([id])
        await spool.events.waitForAttempts(1)

        #expect(spool.events.attempts.first?.outcomes.first?.reason?.contains("MX") == true)
        #expect(spool.sites.started == 0)
        await spool.stop()
    }

    // MARK: Failing disks

    @Test(arguments: [DiskOperation.writeStatus, .syncStatus])
    func anOutcomeThatTheDiskDoesNotTakeIsNotForgotten(_ operation: DiskOperation) async throws {
        let fails = Mutex(true)
        let spool = try await Spool.open(fault: { $0 == operation && fails.withLock { $0 } ? 30 : nil })  // EROFS
        spool.sites.answer("later@normal.example", .deferred(reason: "450 later"))

        let id = try await spool.send(to: ["ok@normal.example", "later@normal.example"])
        await spool.events.waitForAttempts(1)
        #expect(try await spool.queue.describe([id]).first?.recipients.map(\.state) == [.delivered, .pending])
        await spool.time.advance(by: .seconds(301))
        await spool.events.waitForAttempts(2)
        #expect(spool.sites.records.map(\.recipients) == [["ok@normal.example"]])

        fails.withLock { $0 = false }
        spool.sites.answer("later@normal.example", nil)
        await spool.time.advance(by: .seconds(4_001))
        await spool.events.wait { events in events.contains { if case .attempted(let attempt) = $0 { attempt.remaining == nil } else { false } } }
        #expect(spool.sites.records.map(\.recipients) == [["ok@normal.example"], ["later@normal.example"]])
        await spool.stop()
    }

    @Test func nothingIsSentFromAFileThatCannotBeMoved() async throws {
        let fails = Mutex(false)
        let spool = try await Spool.open(fault: { $0 == .move && fails.withLock { $0 } ? 30 : nil })
        let id = try await spool.send(to: ["user@customer.example"])
        fails.withLock { $0 = true }

        let results = try await spool.release([id])

        guard case .failed = results[0] else { return #expect(Bool(false), "\(results)") }
        #expect(spool.sites.started == 0)
        #expect(spool.files("deferred") == [id.description])
        fails.withLock { $0 = false }
        #expect(try await spool.release([id]) == [.released])
        await spool.events.waitForAttempts(1)
        #expect(spool.sites.records.count == 1)
        await spool.stop()
    }

    @Test func aFinishedMessageThatCannotBeRemovedIsNotSentAgain() async throws {
        let fails = Mutex(true)
        let spool = try await Spool.open(fault: { $0 == .remove && fails.withLock { $0 } ? 5 : nil })
        try await spool.send(to: ["user@normal.example"])
        await spool.events.waitForAttempts(1)
        #expect(spool.events.attempts.first?.remaining?.domains == [])

        fails.withLock { $0 = false }
        await spool.time.advance(by: .seconds(301))
        await spool.events.waitForAttempts(2)

        #expect(spool.sites.records.count == 1)
        #expect(SpoolFolder.queue.flatMap { spool.files($0.name) }.isEmpty)
        await spool.stop()
    }

    // MARK: Stopping

    @Test func stopWaitsForWhatIsInTransmission() async throws {
        let spool = try await Spool.open()
        spool.sites.close()
        try await spool.send(to: ["user@normal.example"])
        await spool.sites.waitForStarted(1)

        async let stopped: Void = spool.queue.stop(within: .seconds(60))
        await spool.time.waitForSleepers(1)
        spool.sites.open()
        await stopped

        #expect(spool.sites.records.count == 1)
        #expect(SpoolFolder.queue.flatMap { spool.files($0.name) }.isEmpty)
    }

    @Test func whatIsInTransmissionAtTheLimitIsTriedAgainAfterTheStart() async throws {
        let spool = try await Spool.open()
        spool.sites.close()
        let id = try await spool.send(to: ["user@normal.example"])
        await spool.sites.waitForStarted(1)

        async let stopped: Void = spool.queue.stop(within: .seconds(60))
        await spool.time.waitForSleepers(1)
        await spool.time.advance(by: .seconds(61))
        await stopped

        #expect(spool.files("active") == [id.description])
        let sites = FakeSites()
        let again = try await Spool.open(in: spool.folder, routes: spool.routes, sites: sites, time: spool.time)
        #expect(again.start.interrupted == 1)
        await again.time.advance(by: .seconds(1))
        await again.events.waitForAttempts(1)
        #expect(sites.records.count == 1)
        await again.stop()
        spool.sites.open()
    }
}
