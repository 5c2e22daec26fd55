// Fast, slow or refused, and why.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct FlushPolicyTests {
    func policy(_ fast: String, _ slow: FlushPolicy.SlowFlush, mode: DomainList.Mode = .parentDomains) -> FlushPolicy {
        func list(_ text: String) -> DomainList {
            DomainList(parsing: text, mode: mode) { path throws(DomainList.UnreadableFile) in throw .init(reason: "no \(path)") }
        }
        return FlushPolicy(fastFlushDomains: list(fast), relayDomains: list("store:"), slowFlush: slow)
    }

    func verdict(_ policy: FlushPolicy, _ name: String, mayFlushAll: Bool = true, provisioned: String...) -> FlushPolicy.Verdict {
        policy.verdict(on: Samples.domain(name), mayFlushAll: mayFlushAll) { provisioned.contains($0.description) }
    }

    @Test func isFastForAListedDomainWhateverTheAskerMay() {
        let policy = policy("branch.example", .reject)

        #expect(verdict(policy, "branch.example", mayFlushAll: false) == .fast)
        #expect(verdict(policy, "sub.branch.example", mayFlushAll: false) == .fast)
    }

    @Test func matchesOnLabelBoundaries() {
        let policy = policy("b.example", .reject)

        for name in ["a-b.example", "xb.example", "b.example.org", "example"] {
            guard case .refused = verdict(policy, name) else {
                Issue.record("\(name) is not refused")
                continue
            }
        }
    }

    @Test func takesTheProvisionedOnesFromTheStore() {
        let policy = policy("store:", .reject)

        #expect(verdict(policy, "branch.example", provisioned: "branch.example") == .fast)
        #expect(verdict(policy, "x.branch.example", provisioned: "branch.example") == .fast)
        #expect(verdict(policy, "branch.example", provisioned: "ship.example") != .fast)
    }

    @Test func isSlowForAnUnlistedDomainWhenThatIsPermitted() {
        #expect(verdict(policy("branch.example", .permit), "other.example") == .slow)
        // Empty turns the fast service off.
        #expect(verdict(policy("", .permit), "branch.example") == .slow)
    }

    @Test func refusesASlowFlushWithTheReason() {
        guard case .refused(let switched) = verdict(policy("", .reject), "other.example"),
            case .refused(let scope) = verdict(policy("", .permit), "other.example", mayFlushAll: false)
        else {
            Issue.record("not refused")
            return
        }
        #expect(switched.contains("slow_flush") && switched.contains("other.example"))
        #expect(scope.contains("flush:all"))
    }

    @Test func doesNotDecideWithoutItsLists() {
        guard case .undecided(let reason) = verdict(policy("/no/such/file, branch.example", .permit), "other.example") else {
            Issue.record("decided")
            return
        }
        #expect(reason.contains("fast_flush_domains"))
    }
}

@Suite(.timeLimit(.minutes(5))) struct RelayDomainDirectoryTests {
    @Test func coversSubdomainsByTheNearestAbove() {
        let directory = RelayDomainDirectory()
        directory.change(put: [Samples.relayDomain("b.example"), Samples.relayDomain("x.a.b.example")])

        #expect(directory.covering(Samples.domain("b.example"))?.domain == Samples.domain("b.example"))
        #expect(directory.covering(Samples.domain("a.b.example"))?.domain == Samples.domain("b.example"))
        #expect(directory.covering(Samples.domain("y.x.a.b.example"))?.domain == Samples.domain("x.a.b.example"))
        #expect(directory.covering(Samples.domain("a-b.example")) == nil)
        #expect(directory.covering(Samples.domain("xb.example")) == nil)
        #expect(directory.covering(Samples.domain("example")) == nil)
    }

    @Test(arguments: [1, 10, 500]) func pagesInTheOrderOfNames(_ atOnce: Int) {
        var random = SeededRandom(seed: 5)
        let directory = RelayDomainDirectory()
        var all = (0..<500).map { Samples.relayDomain("d\($0).example") }.shuffled(using: &random)
        for position in all.indices where position % 3 == 0 { all[position].owner = "crm" }
        for start in stride(from: 0, to: 500, by: atOnce) { directory.change(put: Array(all[start..<min(start + atOnce, 500)])) }
        // Written twice, and some dropped (one of them twice).
        directory.change(put: [all[0]])
        let gone = all.suffix(100).map(\.domain)
        for start in stride(from: 0, to: 100, by: min(atOnce, 100)) {
            directory.change(remove: Array(gone[start..<min(start + atOnce, 100)]))
        }
        directory.change(remove: [gone[0]])

        for owner in [nil, "crm", "nobody"] {
            var seen: [DomainName] = []
            while true {
                let page = directory.page(after: seen.last, owner: owner, limit: 7)
                guard !page.isEmpty else { break }
                seen += page.map(\.domain)
            }
            #expect(seen == all.prefix(400).filter { owner == nil || $0.owner == owner }.map(\.domain).sorted())
        }
        #expect(directory.count == 400)
        // After a name that is not there.
        #expect(directory.page(after: Samples.domain("zz.example"), owner: nil, limit: 7).isEmpty)
        #expect(directory.page(after: Samples.domain("aa.example"), owner: nil, limit: 1).count == 1)
    }
}
