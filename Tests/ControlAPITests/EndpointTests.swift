import FlushCore
import FlushTesting
import FlushWire
import HTTPServer
import HTTPTypes
import Testing

@Suite(.timeLimit(.minutes(5))) struct EndpointTests {
    private func message(_ id: String, _ domains: String...) -> QueuedMessage {
        QueuedMessage(
            id: QueueID(id)!, place: .deferred, arrival: Timestamp(seconds: 1_000), size: 100, domains: domains.map { DomainName($0)! })
    }

    @Test func aFlushIsAnsweredWithItsCountAndItsPlace() async throws {
        let api = try await APIFixture(messages: [message("A1", "branch.example"), message("A2", "branch.example"), message("B1", "other.example")])
        _ = await api.provision("branch.example")
        await api.core.reconcile()

        let answer = await api.ask(.post, "/etrn/branch.example?note=hello")

        #expect(answer.status == 202)
        #expect(answer["matched"] == .number(2))
        #expect(answer["domain"] == .text("branch.example"))
        #expect(answer["mode"] == .text("fast"))
        #expect(answer["note"] == .text("hello"))
        #expect(answer["requested_by"] == .text("trusted:127.0.0.1"))
        guard case .text(let id)? = answer["id"] else { throw TestFailure() }
        #expect(answer.response.fields[.location] == "/flushes/\(id)")
    }

    @Test func aDomainWithoutMailIsASuccessThatHasEndedAlready() async throws {
        let api = try await APIFixture()
        _ = await api.provision("branch.example")

        let answer = await api.ask(.post, "/etrn/branch.example")

        #expect(answer.status == 200)
        #expect(answer["state"] == .text("finished"))
        #expect(answer["matched"] == .number(0))
        #expect(api.queue.releases.isEmpty)
    }

    @Test func aDryRunTouchesNothing() async throws {
        let api = try await APIFixture(messages: [message("A1", "branch.example")])
        _ = await api.provision("branch.example")
        await api.core.reconcile()

        let answer = await api.ask(.post, "/etrn/branch.example?dry_run=true")

        #expect(answer.status == 200)
        #expect(answer["dry_run"] == .flag(true))
        #expect(answer["matched"] == .number(1))
        #expect(api.queue.releases.isEmpty)
    }

    @Test func theUnlistedDomainIsRefusedWhenSlowFlushIsRejected() async throws {
        let api = try await APIFixture(slowFlush: .reject)

        let answer = await api.ask(.post, "/etrn/stranger.example")

        #expect(answer.status == 403)
        #expect(answer["type"] == .text("urn:etrnd:problem:not-eligible"))
    }

    @Test(arguments: [
        ("/etrn/-bad.example", ["path:domain"]),
        ("/etrn/branch.example?wait=31", ["query:wait"]),
        ("/etrn/branch.example?wait=x&dry_run=1", ["query:wait", "query:dry_run"]),
        ("/etrn/branch.example?unknown=1", ["query:unknown"]),
        ("/etrn/branch.example?wait=1&wait=2", ["query:wait"]),
        ("/messages/a%20b/flush", ["path:queue_id"]),
    ])
    func badInputIsRefusedWithItsPlaces(path: String, places: [String]) async throws {
        let api = try await APIFixture()

        let answer = await api.ask(.post, path)

        #expect(answer.status == 400)
        #expect(Set(answer.places) == Set(places))
        #expect(api.queue.releases.isEmpty)
    }

    @Test(arguments: [
        (#"{"next_hop":"192.0.2.1:25"}"#, ["#/next_hop"]),
        (#"{"next_hop":"[192.0.2.1]:0"}"#, ["#/next_hop"]),
        (#"{"next_hop":"[192.0.2.1]:25","colour":1,"a/b":2}"#, ["#/a~1b", "#/colour"]),
        (#"{"next_hop":7}"#, ["#/next_hop"]),
        (#"{}"#, ["#/next_hop"]),
        (#"[]"#, ["#"]),
        (#"{"#, ["#"]),
        (#"{"next_hop":"[192.0.2.1]:25","delivery":"fast"}"#, ["#/delivery"]),
    ])
    func aBadRelayDomainIsRefusedWithItsPlaces(body: String, places: [String]) async throws {
        let api = try await APIFixture()

        let answer = await api.provision("branch.example", body)

        #expect(answer.status == 400)
        #expect(answer.places == places)
        #expect(await api.ask(.get, "/relay-domains/branch.example").status == 404)
    }

    @Test func aRelayDomainIsPutReadChangedAndRemoved() async throws {
        let api = try await APIFixture()

        let created = await api.provision("Bücher.example")
        let again = await api.provision("xn--bcher-kva.example")
        let changed = await api.provision("xn--bcher-kva.example", #"{"next_hop":"[192.0.2.1]:25","delivery":"etrn-only"}"#)

        #expect(created.status == 201)
        #expect(created["version"] == .number(1))
        #expect(created["domain"] == .text("xn--bcher-kva.example"))
        #expect(again.status == 200)
        #expect(again.response.fields[.eTag] == created.response.fields[.eTag])
        #expect(changed["version"] == .number(2))
        #expect(changed.response.fields[.eTag] != created.response.fields[.eTag])
        #expect(await api.ask(.delete, "/relay-domains/xn--bcher-kva.example").status == 204)
        #expect(await api.ask(.delete, "/relay-domains/xn--bcher-kva.example").status == 404)
    }

    @Test func aLostRaceChangesNothing() async throws {
        let api = try await APIFixture()
        let created = await api.provision("branch.example")
        let tag = try #require(created.response.fields[.eTag])
        _ = await api.provision("branch.example", #"{"next_hop":"[192.0.2.2]:25"}"#)

        let late = await api.ask(.put, "/relay-domains/branch.example", fields: [.ifMatch: tag], body: #"{"next_hop":"[192.0.2.3]:25"}"#)
        let taken = await api.ask(.put, "/relay-domains/branch.example", fields: [.ifNoneMatch: "*"], body: #"{"next_hop":"[192.0.2.3]:25"}"#)

        #expect(late.status == 412)
        #expect(taken.status == 412)
        #expect(await api.ask(.get, "/relay-domains/branch.example")["next_hop"] == .text("[192.0.2.2]:25"))
    }

    @Test func aRelayDomainWithQueuedMailStaysUnlessForced() async throws {
        let api = try await APIFixture(messages: [message("A1", "sub.branch.example")])
        _ = await api.provision("branch.example")
        await api.core.reconcile()

        let refused = await api.ask(.delete, "/relay-domains/branch.example")

        #expect(refused.status == 409)
        #expect(refused["messages"] == .number(1))
        #expect(await api.ask(.get, "/relay-domains/branch.example").status == 200)
        #expect(await api.ask(.delete, "/relay-domains/branch.example?force=true").status == 204)
    }

    @Test func aDesiredStateReplacesOnlyItsOwnersRelayDomains() async throws {
        let api = try await APIFixture()
        _ = await api.provision("foreign.example", #"{"next_hop":"[192.0.2.1]:25","owner":"other"}"#)
        _ = await api.provision("old.example", #"{"next_hop":"[192.0.2.1]:25","owner":"crm"}"#)
        let state = #"{"relay_domains":[{"domain":"new.example","next_hop":"[192.0.2.9]:25"}]}"#

        let dry = await api.ask(.put, "/relay-domains?owner=crm&dry_run=true", body: state)
        let bounded = await api.ask(.put, "/relay-domains?owner=crm&max_delete=0", body: state)
        let done = await api.ask(.put, "/relay-domains?owner=crm", body: state)

        #expect(dry["created"] == .array([.text("new.example")]))
        #expect(dry["removed"] == .array([.text("old.example")]))
        #expect(bounded.status == 409)
        #expect(done.status == 200)
        #expect(await api.ask(.get, "/relay-domains/old.example").status == 404)
        #expect(await api.ask(.get, "/relay-domains/foreign.example").status == 200)
        #expect(await api.ask(.get, "/relay-domains/new.example")["owner"] == .text("crm"))
    }

    @Test func listsGoPageByPageInTheOrderOfTheirKeys() async throws {
        let api = try await APIFixture()
        for name in ["c.example", "a.example", "b.example"] { _ = await api.provision(name) }

        let first = await api.ask(.get, "/domains?limit=2")
        let second = await api.ask(.get, "/domains?limit=2&cursor=b.example")

        #expect(first["next_cursor"] == .text("b.example"))
        #expect(first.response.fields[HTTPField.Name("Link")!] == #"</domains?limit=2&cursor=b.example>; rel="next""#)
        #expect(second["next_cursor"] == .null)
        guard case .array(let domains)? = second["domains"], case .object(let only)? = domains.first else { throw TestFailure() }
        #expect(domains.count == 1)
        #expect(only["domain"] == .text("c.example"))
    }

    @Test func anUnchangedStatusIsNotSentTwice() async throws {
        let api = try await APIFixture()
        await api.core.reconcile()
        let first = await api.ask(.get, "/status")
        let tag = try #require(first.response.fields[.eTag])

        let second = await api.ask(.get, "/status", fields: [.ifNoneMatch: tag])
        _ = await api.provision("branch.example")
        let third = await api.ask(.get, "/status", fields: [.ifNoneMatch: tag])

        #expect(second.status == 304)
        #expect(third.status == 200)
        #expect(third["relay_domains"] == .number(1))
    }

    @Test func aQueueThatCannotBeReadIsNotReady() async throws {
        let api = try await APIFixture()
        await api.core.reconcile()
        let before = await api.ask(.get, "/readyz")
        api.queue.scanFailure = .unavailable("the disk is gone")
        await api.core.reconcile()
        let during = await api.ask(.get, "/readyz")
        api.queue.scanFailure = nil
        await api.core.reconcile()

        #expect(before.status == 200)
        #expect(during.status == 503)
        #expect(during.response.fields[.retryAfter] == "1")
        #expect(await api.ask(.get, "/readyz").status == 200)
    }

    @Test func strangersAndOtherWebPagesAreRefused() async throws {
        let stranger = try await APIFixture(trusted: false)
        let api = try await APIFixture()
        _ = await api.provision("branch.example")

        #expect(await stranger.ask(.get, "/status").status == 403)
        #expect(await stranger.ask(.get, "/livez").status == 200)
        #expect(await api.ask(.post, "/etrn/branch.example", fields: [.origin: "http://evil.example"]).status == 403)
        #expect(await api.ask(.post, "/etrn/branch.example", fields: [.origin: "null"]).status == 403)
    }

    @Test func aBodyThatIsNoJSONIsTold() async throws {
        let api = try await APIFixture()

        let answer = await api.ask(.put, "/relay-domains/branch.example", fields: [.contentType: "text/plain"], body: "x")
        let unread = await api.ask(.post, "/etrn/branch.example", body: "{}")

        #expect(answer.status == 415)
        #expect(unread.status == 400)
    }

    private struct TestFailure: Error {}
}
