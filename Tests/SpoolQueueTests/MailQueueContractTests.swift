// The port's demands on a mail queue, met by the spool.

import FlushCore
import FlushTesting
import Glibc
import Synchronization
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct MailQueueContractTests {
    @Test(arguments: MailQueueContract.cases)
    func spoolQueue(_ demand: MailQueueContract.Case) async throws {
        let sites = FakeSites()
        let routes = FakeRoutes([:])
        let folder = TemporaryFolder()
        let opened = Mutex<[Spool]>([])
        let result = await Task {
            try await demand.check {
                let spool = try await Spool.open(in: folder, routes: routes, sites: sites, eventLimit: SpoolHarness.eventLimit, isFollowed: false)
                opened.withLock { $0.append(spool) }
                return SpoolHarness(spool: spool, events: EventFollower(of: spool.queue))
            }
        }.result
        sites.open()
        for spool in opened.withLock({ $0 }) { await spool.stop() }
        try result.get()
    }
}

/// A spool on a disk, whose domains wait to be asked and whose sites are faked.
private struct SpoolHarness: MailQueueHarness {
    /// More than a case leaves lying before it follows; `flood` makes more.
    static let eventLimit = 40

    let spool: Spool
    let events: EventFollower
    var queue: any MailQueue { spool.queue }

    func put(_ domains: [DomainName], _ place: MessagePlace) async throws -> QueueID {
        let known = Set(domains)
        let started = spool.sites.started
        // What is to be in delivery is tried at once; afterwards its domains wait to be asked like all others.
        for domain in known { spool.routes[domain.description] = place == .inDelivery ? .normal(host(domain)) : .etrnOnly(host(domain)) }
        let id = try await spool.send(to: domains.enumerated().map { address($0.offset, $0.element) })
        switch place {
        case .deferred: break
        case .inDelivery:
            await spool.sites.waitForStarted(started + known.count)
            for domain in known { spool.routes[domain.description] = .etrnOnly(host(domain)) }
        case .held:
            guard rename(spool.path("deferred/\(id)"), spool.path("hold/\(id)")) == 0 else { throw Failure(what: "hold", code: errno) }
            _ = try await spool.scanned()
        }
        return id
    }

    func answer(_ domain: DomainName, _ fate: InMemoryQueue.Fate) {
        var down: String?
        var reply: RecipientOutcome?
        switch fate {
        case .delivered: break
        case .deferred(let reason): down = reason
        case .bounced(let text): reply = .bounced(reply: text)
        }
        spool.sites.setDown(host(domain), down)
        for number in 0..<4 { spool.sites.answer(address(number, domain), reply) }
    }

    func stall() { spool.sites.close() }
    func resume() { spool.sites.open() }

    func takeAway(_ id: QueueID) async throws {
        guard unlink(spool.path("deferred/\(id)")) == 0 || unlink(spool.path("hold/\(id)")) == 0 else {
            throw Failure(what: "take away", code: errno)
        }
    }

    func flood(_ domain: DomainName) async throws -> [QueueID] {
        var ids: [QueueID] = []
        for _ in 0..<(Self.eventLimit + 20) { ids.append(try await put([domain], .deferred)) }
        return ids
    }

    func breakDown() async { await spool.stop() }

    private func host(_ domain: DomainName) -> String { "mail.\(domain)" }
    private func address(_ number: Int, _ domain: DomainName) -> String { "user\(number)@\(domain)" }

    private struct Failure: Error {
        var what: String
        var code: CInt
    }
}
