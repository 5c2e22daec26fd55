// What an ETRN for a domain would do, and whether its mail has a way out.

import Testing

@testable import Doctor
@testable import FlushCore

@Suite struct DomainDiagnosisTests {
    let name = DomainName("customer.example")!
    let now = Timestamp(seconds: 1_795_374_112)

    private func flush(_ mode: Flush.Mode = .fast, matched: Int = 0) -> Flush {
        var flush = Flush(
            id: FlushID("01JDXYZ0000000000000000000")!, selector: .domain(name, subdomains: false), mode: mode, state: .finished, via: .http,
            requestedBy: "unix:0", requestedAt: now)
        flush.matched = matched
        return flush
    }

    private func relayDomain(
        _ text: String = "customer.example", hop: String = "[192.0.2.1]:25", delivery: RelayDomain.Delivery = .normal,
        state: RelayDomain.State = .active
    ) throws -> RelayDomain {
        RelayDomain(
            domain: DomainName(text)!, nextHop: try NextHop(parsing: hop), delivery: delivery, state: state, createdAt: now, updatedAt: now)
    }

    // MARK: Names

    @Test(arguments: ["[192.0.2.1]", "192.0.2.1", "2001:db8::1", "[IPv6:::1]"])
    func anAddressIsNoDomain(_ text: String) {
        #expect(DomainExamination.name(text) == .addressLiteral(text))
        #expect(Diagnosis.domain(DomainFacts(name: .addressLiteral(text)), postfix: nil).map(\.level) == [.failure])
    }

    @Test(arguments: ["", "-x.example", "a..b", "customer.example.", "@customer.example"])
    func whatIsNoNameIsTold(_ text: String) {
        guard case .invalid(text, let reason) = DomainExamination.name(text) else {
            Issue.record("\(text) is taken for a name")
            return
        }
        #expect(!reason.isEmpty)
        #expect(Diagnosis.domain(DomainFacts(name: .invalid(text, reason: reason)), postfix: nil).map(\.level) == [.failure])
    }

    // MARK: The record

    @Test func fastSlowAndRefusedAreToldApart() {
        #expect(Diagnosis.eligibility(.flush(flush(matched: 3)), of: name).text.contains("3 messages"))
        #expect(Diagnosis.eligibility(.flush(flush()), of: name).level == .ok)
        let slow = Diagnosis.eligibility(.flush(flush(.slow, matched: 1)), of: name)
        #expect(slow.level == .warning && slow.text.contains("1 message)") && slow.advice?.contains("fast_flush_domains") == true)
        let refused = Diagnosis.eligibility(.refused(.notEligible(name, reason: "because")), of: name)
        #expect(refused.level == .failure && refused.text.contains("because"))
        #expect(Diagnosis.eligibility(.refused(.queueUnavailable(reason: "no queue")), of: name).level == .failure)
        #expect(Diagnosis.eligibility(.refused(.limited(retryAfter: .seconds(5))), of: name).advice == "ask again in 5 s")
    }

    @Test func aDrainingRelayDomainIsAWarning() throws {
        #expect(Diagnosis.relayDomain(nil, of: name).level == .ok)
        let own = Diagnosis.relayDomain(try relayDomain(delivery: .etrnOnly), of: name)
        #expect(own.level == .ok && own.text.contains("waits until somebody asks"))
        let draining = Diagnosis.relayDomain(try relayDomain(state: .draining), of: name)
        #expect(draining.level == .warning && draining.text.contains("no new mail"))
        let parent = Diagnosis.relayDomain(try relayDomain(), of: DomainName("a.customer.example")!)
        #expect(parent.text.hasPrefix("a.customer.example belongs to customer.example"))
    }

    private func summary(messages: Int, lastFlush: DomainSummary.LastFlush? = nil) -> DomainSummary {
        DomainSummary(
            domain: name, mode: .fast, state: .active, messages: messages, bytes: 10, oldestArrival: messages > 0 ? now : nil,
            lastReason: messages > 0 ? "connection refused" : nil, lastFlush: lastFlush)
    }

    @Test func waitingMailIsToldWithItsReason() {
        #expect(Diagnosis.waiting(summary(messages: 0), .init()).text.hasPrefix("none"))
        let some = Diagnosis.waiting(summary(messages: 2), .init(looked: 2))
        #expect(some.level == .ok && some.text.contains("2 messages") && some.text.contains("connection refused"))
    }

    @Test func heldMailIsAWarning() {
        let held = Diagnosis.waiting(summary(messages: 2), .init(looked: 2, held: 1))

        #expect(held.level == .warning && held.advice?.contains("postsuper -H") == true)
    }

    @Test func aFlushThatDeliveredNothingIsAWarning() {
        var failed = flush(matched: 2)
        failed.released = 1
        failed.deferredAgain = 1
        failed.lastReason = "timed out"
        #expect(Diagnosis.lastFlush(failed).level == .warning && Diagnosis.lastFlush(failed).text.contains("timed out"))

        var good = flush(matched: 2)
        good.released = 2
        good.delivered = 2
        #expect(Diagnosis.lastFlush(good).level == .ok)
    }

    // MARK: Postfix's tables

    @Test func aProvisionedDomainThatPostfixDoesNotKnowFails() throws {
        #expect(Diagnosis.accepted(.yes(by: "x"), name, relayDomain: nil).level == .ok)
        #expect(Diagnosis.accepted(.no, name, relayDomain: nil).level == .warning)
        #expect(Diagnosis.accepted(.no, name, relayDomain: try relayDomain()).level == .failure)
        #expect(Diagnosis.accepted(.no, name, relayDomain: try relayDomain(state: .draining)).level == .ok)
        #expect(Diagnosis.accepted(.unknown("x"), name, relayDomain: nil).level == .warning)
    }

    private func route(_ route: PostfixRouting.Route, _ relayDomain: RelayDomain?, deferred: String = "etrn-only") -> Finding {
        Diagnosis.route(route, name, relayDomain: relayDomain, deferTransports: deferred, at: "/etc/postfix")
    }

    private func row(_ value: String) -> PostfixRouting.Route { .row(table: "hash:/t", key: "customer.example", value: value) }

    @Test func theRowMustLeadToTheNextHop() throws {
        #expect(route(.none, nil).level == .ok)
        #expect(route(.none, try relayDomain()).level == .failure)
        #expect(route(row("relay:[192.0.2.1]:25"), try relayDomain()).level == .ok)
        let other = route(row("smtp:[192.0.2.9]:25"), try relayDomain())
        #expect(other.level == .warning && other.text.contains("192.0.2.9"))
        #expect(route(row("smtp:"), nil).level == .ok)
    }

    @Test func anEtrnOnlyDomainNeedsADeferredTransport() throws {
        let domain = try relayDomain(delivery: .etrnOnly)

        #expect(route(row("etrn-only:[192.0.2.1]:25"), domain).level == .ok)
        #expect(route(row("relay:[192.0.2.1]:25"), domain).level == .warning)
        #expect(route(row("etrn-only:[192.0.2.1]:25"), domain, deferred: "").level == .warning)
        #expect(route(row("etrn-only:[192.0.2.1]:25"), domain, deferred: "x, etrn-only").level == .ok)
    }

    // MARK: The next hop

    private func door(_ conversations: Conversation...) -> Finding {
        Diagnosis.nextHop(
            NextHopFacts(
                nextHop: "[192.0.2.1]:25",
                outcome: .tried(conversations.enumerated().map { .init(address: "192.0.2.\($0.offset):25", conversation: $0.element) })))
    }

    @Test func onlyA220IsAWelcome() {
        #expect(door(.heard("220 mail ready")).level == .ok)
        #expect(door(.heard("554 go away")).level == .failure && door(.heard("554 go away")).text.contains("'554 go away'"))
        #expect(door(.heard("421 busy")).level == .failure)
        #expect(door(.silent).text.contains("no greeting"))
        #expect(door(.closed).level == .failure)
        #expect(door(.unreachable("Connection refused")).text.contains("192.0.2.0:25: Connection refused"))
        #expect(door().level == .failure)
    }

    @Test func oneAddressThatGreetsIsEnough() {
        #expect(door(.unreachable("No route to host"), .heard("220 here")).level == .ok)
    }

    @Test func mailExchangersAreNotTried() {
        #expect(Diagnosis.nextHop(NextHopFacts(nextHop: "mail.example:25", outcome: .usesMX)).level == .ok)
        #expect(Diagnosis.nextHop(NextHopFacts(nextHop: "[x.example]:25", outcome: .lookUpFailed("unknown"))).level == .failure)
    }

    @Test func aBannerEndsWithItsLastLine() {
        #expect(!NextHopExamination.isWholeReply(Array("220-hello\r\n".utf8)))
        #expect(NextHopExamination.isWholeReply(Array("220-hello\r\n220 go\r\n".utf8)))
        #expect(NextHopExamination.isWholeReply(Array("220 go\r\n".utf8)))
        #expect(!NextHopExamination.isWholeReply(Array("220 go".utf8)))
        #expect(!NextHopExamination.isWholeReply([]))
    }
}
