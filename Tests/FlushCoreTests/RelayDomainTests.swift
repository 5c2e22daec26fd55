// Provisioning: conditions, desired states, and mail that stands in the way.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct RelayDomainTests {
    let branch = Service.branch
    let below = Samples.domain("x.branch.example")

    func draft(_ hop: String = "[10.0.0.1]:25", owner: String = "", comment: String = "") throws -> RelayDomainDraft {
        RelayDomainDraft(nextHop: try NextHop(parsing: hop), comment: comment, owner: owner)
    }

    func service(_ messages: [QueuedMessage] = [], _ names: String...) async throws -> Service {
        let service = Service(messages, fast: "store:", relayDomains: names.map { Samples.relayDomain($0) })
        try await service.start()
        return service
    }

    @Test func writesTheStoreThenMemory() async throws {
        let service = try await service()

        let (written, isNew) = try await service.server.putRelayDomain(try draft(), for: branch, by: "ann", if: [])

        #expect(isNew && written.version == 1 && written.updatedBy == "ann")
        #expect(service.relayDomains.kept[branch] == written)
        #expect(await service.server.relayDomain(branch) == written)
        // Eligible at once, and its subdomains with it.
        #expect(try await service.flush().mode == .fast)
        #expect(try await service.flush(below).mode == .fast)
        #expect(await service.server.domains(DomainQuery()).map(\.domain) == [branch])
    }

    @Test func leavesWhatIsTheSameAlone() async throws {
        let service = try await service()
        let first = try await service.server.putRelayDomain(try draft(), for: branch, by: "ann", if: []).relayDomain
        service.time.jump(by: .seconds(60))

        let (second, isNew) = try await service.server.putRelayDomain(try draft(), for: branch, by: "bob", if: [])
        let third = try await service.server.putRelayDomain(try draft(comment: "new"), for: branch, by: "bob", if: []).relayDomain

        #expect(second == first && !isNew)
        #expect(third.version == 2 && third.updatedBy == "bob" && third.createdAt == first.createdAt && third.updatedAt > first.updatedAt)
    }

    @Test func changesNothingWhenTheStoreFails() async throws {
        let service = try await service([], "branch.example")
        service.relayDomains.failure = .unavailable("locked")

        await #expect(throws: FlushError.self) {
            try await service.server.putRelayDomain(try draft("[10.9.9.9]:26"), for: branch, by: "ann", if: [])
        }
        await #expect(throws: FlushError.self) { try await service.server.removeRelayDomain(branch, force: true, if: []) }

        #expect(await service.server.relayDomain(branch) == Samples.relayDomain("branch.example"))
        // The turn was given back.
        service.relayDomains.failure = nil
        #expect(try await service.server.removeRelayDomain(branch, force: false, if: []))
    }

    @Test func holdsToItsConditions() async throws {
        let service = try await service([], "branch.example")
        let tag = try #require(await service.server.relayDomain(branch)).tag
        let new = Samples.domain("new.example")
        let failing: [(DomainName, VersionCondition)] = [
            (branch, .oneOf(["0-0"])), (branch, .oneOf([])), (branch, .noneOf([tag])), (branch, .absent), (new, .exists), (new, .oneOf([tag])),
        ]
        for (domain, condition) in failing {
            await #expect(throws: FlushError.versionMismatch(domain, current: domain == branch ? 1 : nil)) {
                try await service.server.putRelayDomain(try draft(comment: "x"), for: domain, by: "ann", if: [condition])
            }
        }
        await #expect(throws: FlushError.versionMismatch(branch, current: 1)) {
            try await service.server.removeRelayDomain(branch, force: true, if: [.oneOf(["0-0"])])
        }

        let written = try await service.server.putRelayDomain(try draft(comment: "x"), for: branch, by: "ann", if: [.oneOf(["0-0", tag])])
        #expect(written.relayDomain.version == 2)
        #expect(try await service.server.putRelayDomain(try draft(), for: new, by: "ann", if: [.absent]).isNew)
    }

    @Test func oneOfTwoChangesWithTheSameConditionLoses() async throws {
        let service = try await service([], "branch.example")
        let tag = try #require(await service.server.relayDomain(branch)).tag

        let results = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<8 {
                let draft = try draft(comment: "\(number)")
                group.addTask {
                    do {
                        _ = try await service.server.putRelayDomain(draft, for: branch, by: "\(number)", if: [.oneOf([tag])])
                        return true
                    } catch FlushError.versionMismatch { return false }
                }
            }
            var won = 0
            for try await result in group where result { won += 1 }
            return won
        }

        #expect(results == 1)
        #expect(await service.server.relayDomain(branch)?.version == 2)
    }

    @Test func aRemovedAndNewOneHasAnotherTag() async throws {
        let service = try await service([], "branch.example")
        let tag = try #require(await service.server.relayDomain(branch)).tag
        #expect(try await service.server.removeRelayDomain(branch, force: false, if: []))
        #expect(try await service.server.removeRelayDomain(branch, force: false, if: []) == false)
        service.time.jump(by: .seconds(1))
        _ = try await service.server.putRelayDomain(try draft(), for: branch, by: "ann", if: [])

        #expect(await service.server.relayDomain(branch)?.tag != tag)
    }

    @Test func refusesToRemoveOneWithMailWaiting() async throws {
        let service = try await service([message(1, Samples.domain("x.branch.example"))], "branch.example")

        await #expect(throws: FlushError.mailQueued(branch, messages: 1)) {
            try await service.server.removeRelayDomain(branch, force: false, if: [])
        }
        await #expect(throws: FlushError.mailQueued(branch, messages: 1)) {
            try await service.server.replaceRelayDomains([:], owner: "", by: "crm", maximumRemovals: nil, dryRun: true)
        }

        #expect(try await service.server.removeRelayDomain(branch, force: true, if: []))
        #expect(await service.server.domain(below)?.summary.state == .unlisted)
        #expect(await service.server.domain(branch) == nil)
    }

    @Test func mailForASubdomainWithAWayOfItsOwnDoesNotStandInTheWay() async throws {
        let service = try await service([message(1, Samples.domain("y.x.branch.example"))], "branch.example", "x.branch.example")

        #expect(try await service.server.removeRelayDomain(branch, force: false, if: []))
        await #expect(throws: FlushError.mailQueued(below, messages: 1)) {
            try await service.server.removeRelayDomain(below, force: false, if: [])
        }
    }

    @Test func makesAnOwnersDomainsExactlyThese() async throws {
        let service = try await service()
        for name in ["a.test", "b.test", "c.test"] {
            _ = try await service.server.putRelayDomain(try draft(owner: "crm"), for: Samples.domain(name), by: "crm", if: [])
        }
        _ = try await service.server.putRelayDomain(try draft(owner: "ann"), for: Samples.domain("hers.test"), by: "ann", if: [])
        let wanted = [
            Samples.domain("a.test"): try draft(), Samples.domain("b.test"): try draft(comment: "other"), Samples.domain("d.test"): try draft(),
        ]
        let expected = RelayDomainDifference(
            added: [Samples.domain("d.test")], changed: [Samples.domain("b.test")], removed: [Samples.domain("c.test")], unchanged: 1)

        let dry = try await service.server.replaceRelayDomains(wanted, owner: "crm", by: "crm", maximumRemovals: nil, dryRun: true)
        #expect(dry == expected && service.relayDomains.kept.count == 4)
        await #expect(throws: FlushError.tooManyRemovals(count: 1, allowed: 0)) {
            try await service.server.replaceRelayDomains(wanted, owner: "crm", by: "crm", maximumRemovals: 0, dryRun: false)
        }
        await #expect(throws: FlushError.ownedByOther(Samples.domain("hers.test"), owner: "ann")) {
            try await service.server.replaceRelayDomains(
                [Samples.domain("hers.test"): try draft()], owner: "crm", by: "crm", maximumRemovals: nil, dryRun: false)
        }
        #expect(service.relayDomains.kept.count == 4)

        let done = try await service.server.replaceRelayDomains(wanted, owner: "crm", by: "crm", maximumRemovals: 1, dryRun: false)
        #expect(done == expected)
        #expect(await service.server.relayDomains(after: nil, owner: "crm", limit: 10).map(\.domain.description) == ["a.test", "b.test", "d.test"])
        #expect(await service.server.relayDomains(after: Samples.domain("b.test"), owner: nil, limit: 1).map(\.domain.description) == ["d.test"])
    }

    @Test func showsADrainingDomain() async throws {
        let service = try await service()
        var draft = try draft()
        draft.state = .draining
        _ = try await service.server.putRelayDomain(draft, for: branch, by: "ann", if: [])

        #expect(await service.server.domain(branch)?.summary.state == .draining)
        // What is queued can still be flushed.
        #expect(try await service.flush().mode == .fast)
    }
}
