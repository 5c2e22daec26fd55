// Every reply of RFC 1985, and what has been asked of the core by then.

import DispatchSockets
import FlushCore
import FlushTesting
import SMTPServer
import SocketTesting
import Testing

@testable import ETRNGateway

@Suite(.timeLimit(.minutes(5))) struct ETRNGatewayTests {
    let branch = GatewayFixture.branch
    let ship = GatewayFixture.ship

    // MARK: Before the real core

    @Test func releasesTheMailOfTheDomainAndTellsHowMuch() async throws {
        let fixture = try await GatewayFixture([message(1), message(2), message(3, GatewayFixture.ship)])

        #expect(await fixture.ask("Branch.example") == "253 OK, 2 pending messages for node Branch.example started")

        await fixture.queue.waitForReleases(1)
        #expect(Set(fixture.queue.released) == [Samples.queueID(1), Samples.queueID(2)])
        let flush = try #require(try await fixture.core.flushes(FlushQuery()).first)
        #expect(flush.selector == .domain(branch, subdomains: false))
        #expect(flush.via == .smtp && flush.requestedBy == "trusted:127.0.0.1")
    }

    @Test(arguments: [
        (ETRNEmptyReply.noMessages, "251 OK, no messages waiting for node branch.example"),
        (.zeroPending, "253 OK, 0 pending messages for node branch.example started"),
    ])
    func whenNothingWaitsNothingIsTried(empty: ETRNEmptyReply, reply: String) async throws {
        let fixture = try await GatewayFixture([message(3, GatewayFixture.ship)]) { $0.emptyReply = empty }

        #expect(await fixture.ask("branch.example") == reply)
        #expect(fixture.queue.releases.isEmpty)
    }

    @Test func anAtSignMeansTheSubdomainsToo() async throws {
        let fixture = try await GatewayFixture([message(1), message(2, Samples.domain("sub.branch.example")), message(3, GatewayFixture.ship)])

        #expect(await fixture.ask("@branch.example") == "253 OK, 2 pending messages for node @branch.example started")
        #expect(try await fixture.core.flushes(FlushQuery()).map(\.selector) == [.domain(branch, subdomains: true)])
    }

    @Test func whoeverJoinsARunningFlushIsNotToldANumber() async throws {
        let fixture = try await GatewayFixture([message(1)])
        #expect(await fixture.ask("branch.example") == "253 OK, 1 pending messages for node branch.example started")
        await fixture.queue.waitForReleases(1)

        #expect(await fixture.ask("branch.example") == "252 OK, pending messages for node branch.example started")
        #expect(fixture.queue.releases.count == 1)
    }

    @Test func outsideTheListTheWholeQueueIsTried() async throws {
        let fixture = try await GatewayFixture([message(1), message(2, GatewayFixture.ship)])

        #expect(await fixture.ask("stranger.example") == "250 OK, queuing for node stranger.example started")
        await fixture.queue.waitForReleases(1)
        #expect(Set(fixture.queue.released) == [Samples.queueID(1), Samples.queueID(2)])
        // The next one within the interval waits for its turn.
        #expect(await fixture.ask("other.example") == "250 OK, queuing for node other.example started")
    }

    @Test func withSlowFlushRejectedTheReasonIsTold() async throws {
        let fixture = try await GatewayFixture([message(1)], slow: .reject)

        #expect(
            await fixture.ask("stranger.example") == """
                459 Node stranger.example not allowed: stranger.example is not matched by fast_flush_domains, and slow_flush is reject
                """)
        #expect(fixture.queue.releases.isEmpty)
    }

    @Test func aListThatCannotTellIs458() async throws {
        let fixture = try await GatewayFixture([message(1)], fast: "/no/such/file")

        #expect(await fixture.ask("branch.example") == "458 Unable to queue messages for node branch.example")
    }

    @Test func aQueueThatCannotBeReadIs458() async throws {
        let fixture = try await GatewayFixture(scanFailure: .unavailable("permission denied"))

        #expect(await fixture.ask("branch.example") == "458 Unable to queue messages for node branch.example")
    }

    // MARK: The argument, and who asks

    @Test(arguments: ["[192.0.2.1]", "branch.example.", "bücher.example", "-x", "@", "#", "*", "192.0.2.1", "branch.example@"])
    func aBadParameterAsksNothing(argument: String) async throws {
        let service = ScriptedService()
        let gateway = ETRNGateway(service: service, time: ManualTime()) { _ in true }

        #expect(await gateway.answer(argument, from: .here).value().text == "501 Syntax Error in Parameters")
        #expect(service.requests.isEmpty && service.statusCalls == 0)
    }

    @Test func whoIsNotInTheNetworksIsToldSo() async throws {
        let service = ScriptedService()
        let inside = SocketAddress.ipv4(0xC000_0201, port: 1)
        let gateway = ETRNGateway(service: service, time: ManualTime()) { $0 == inside }

        let stranger = Peer(address: .ipv4(0xC633_6401, port: 1))
        #expect(
            await gateway.answer("branch.example", from: stranger).value().text
                == "459 Node branch.example not allowed: 198.51.100.1 is not in etrn_networks")
        #expect(await gateway.answer("#any", from: stranger).value().code == 459)
        #expect(service.requests.isEmpty)
        #expect(await gateway.answer("branch.example", from: Peer(address: inside)).value().code == 251)
        #expect(service.requests.map(\.requestedBy) == ["trusted:192.0.2.1"])
    }

    @Test func theUserAtAUNIXSocketIsNamed() async throws {
        let service = ScriptedService()
        let gateway = ETRNGateway(service: service, time: ManualTime()) { $0.isUnix }

        let peer = Peer(address: .unix(path: ""), credentials: (uid: 1000, gid: 1000, pid: 1))
        #expect(await gateway.answer("branch.example", from: peer).value().code == 251)
        #expect(service.requests.map(\.requestedBy) == ["unix:1000"])
    }

    // MARK: What the service says

    @Test(arguments: [
        (FlushError.limited(retryAfter: .seconds(5)), "459 Node branch.example not allowed: too much is under way, try again later"),
        (.queueUnavailable(reason: "secret path"), "458 Unable to queue messages for node branch.example"),
        (.unsupported("x"), "458 Unable to queue messages for node branch.example"),
        (.notEligible(GatewayFixture.branch, reason: "on\r\n250 hold"), "459 Node branch.example not allowed: on??250 hold"),
    ])
    func anErrorIsAReply(error: FlushError, reply: String) async throws {
        let service = ScriptedService()
        service.script(branch, .failure(error))
        let gateway = ETRNGateway(service: service, time: ManualTime()) { _ in true }

        #expect(await gateway.answer("branch.example", from: .here).value().text == reply)
    }

    @Test func aServiceThatCannotBeReachedIs458AndNotAskedTwice() async throws {
        let service = ScriptedService()
        service.failStatus(with: .queueUnavailable(reason: "connection refused"))
        let gateway = ETRNGateway(service: service, time: ManualTime()) { _ in true }

        #expect(await gateway.answer("branch.example", from: .here).value().code == 458)
        #expect(service.requests.isEmpty)
    }

    @Test func whileTheIndexFillsNoNumberIsPromised() async throws {
        let service = ScriptedService()
        let time = ManualTime()
        service.script(branch) { $0.matched = 3 }
        service.setIndexComplete(false)
        let gateway = ETRNGateway(service: service, time: time) { _ in true }

        #expect(await gateway.answer("branch.example", from: .here).value().code == 252)
        // Also when nothing is known yet: "nothing waits" must be true when it is said.
        #expect(await gateway.answer("ship.example", from: .here).value().code == 252)
        service.setIndexComplete(true)
        #expect(await gateway.answer("branch.example", from: .here).value().text == "253 OK, 3 pending messages for node branch.example started")
    }

    @Test func aCompleteIndexIsBelievedForASecond() async throws {
        let service = ScriptedService()
        let time = ManualTime()
        let gateway = ETRNGateway(service: service, time: time) { _ in true }

        for _ in 0..<10 { #expect(await gateway.answer("ship.example", from: .here).value().code == 251) }
        #expect(service.statusCalls == 1)
        await time.advance(by: ETRNGateway.indexConfidence)
        service.setIndexComplete(false)
        #expect(await gateway.answer("ship.example", from: .here).value().code == 252)
    }

    // MARK: Named queues

    private func withQueues(_ service: ScriptedService) throws -> ETRNGateway {
        var parameters = ETRNGateway.Parameters()
        parameters.queues = try ETRNQueues(["fleet = branch.example, @ship.example"])
        return ETRNGateway(service: service, parameters: parameters, time: ManualTime()) { _ in true }
    }

    @Test func aNamedQueueIsAllItsDomains() async throws {
        let service = ScriptedService()
        service.script(branch) { $0.matched = 2 }
        service.script(ship) { $0.matched = 3 }
        let gateway = try withQueues(service)

        #expect(await gateway.answer("#Fleet", from: .here).value().text == "253 OK, 5 pending messages for node #Fleet started")
        #expect(service.requests.map(\.selector) == [.domain(branch, subdomains: false), .domain(ship, subdomains: true)])
        #expect(await gateway.answer("#other", from: .here).value().text == "459 Node #other not allowed: there is no such queue")
    }

    @Test func ofSeveralAnswersTheLeastCertainCounts() async throws {
        let service = ScriptedService()
        let gateway = try withQueues(service)
        service.script(branch) { $0.matched = 2 }
        #expect(await gateway.answer("#fleet", from: .here).value().code == 253)

        service.script(ship) { flush in
            flush.matched = 3
            flush.coalesced = true
        }
        #expect(await gateway.answer("#fleet", from: .here).value().code == 252)
        service.script(ship) { $0.mode = .slow }
        #expect(await gateway.answer("#fleet", from: .here).value().code == 250)
        service.script(ship, .failure(.notEligible(ship, reason: "held")))
        #expect(await gateway.answer("#fleet", from: .here).value().text == "459 Node #fleet not allowed: held")
        service.script(branch, .failure(.queueUnavailable(reason: "x")))
        #expect(await gateway.answer("#fleet", from: .here).value().code == 458)
        // Each was asked for every time.
        #expect(service.requests.count == 10)
    }

    // MARK: How often

    @Test func aClientMayAskOnlySoOften() async throws {
        let service = ScriptedService()
        let time = ManualTime()
        var parameters = ETRNGateway.Parameters()
        parameters.rateLimit = 3
        parameters.rateTimeUnit = .seconds(60)
        let gateway = ETRNGateway(service: service, parameters: parameters, time: time) { _ in true }

        for _ in 0..<3 { #expect(await gateway.answer("branch.example", from: .here).value().code == 251) }
        #expect(
            await gateway.answer("branch.example", from: Peer(address: .ipv4(0x7F00_0001, port: 1))).value().text
                == "459 Node branch.example not allowed: too many requests from 127.0.0.1, try again later")
        #expect(await gateway.answer("branch.example", from: Peer(address: .ipv4(0x7F00_0002, port: 1))).value().code == 251)
        #expect(service.requests.count == 4)
        await time.advance(by: .seconds(60))
        #expect(await gateway.answer("branch.example", from: .here).value().code == 251)
    }

    @Test func onlySoManyRequestsAreUnderWay() async throws {
        let gate = Gate()
        let service = ScriptedService(gate: gate)
        var parameters = ETRNGateway.Parameters()
        parameters.rateLimit = 0
        let gateway = ETRNGateway(service: service, parameters: parameters, time: ManualTime()) { _ in true }
        let waiting = (0..<ETRNGateway.maximumUnderWay).map { _ in Task { await gateway.answer("branch.example", from: .here).value().code } }
        try await until("all are under way") { service.requests.count == ETRNGateway.maximumUnderWay }

        #expect(
            await gateway.answer("branch.example", from: .here).value().text
                == "459 Node branch.example not allowed: too many requests are under way, try again later")
        gate.open()
        for task in waiting { #expect(await task.value == 251) }
        #expect(await gateway.answer("branch.example", from: .here).value().code == 251)
    }
}
