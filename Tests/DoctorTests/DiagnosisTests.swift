// All facts together: the order of the findings, and what is not told twice.

import FlushCore
import Testing

@testable import Doctor
@testable import PostfixQueue

@Suite struct DiagnosisTests {
    private let root = Identity(user: 0, name: "root")
    private let postfix = Identity(user: 102, name: "postfix")

    private func directory(_ path: String) -> FileFacts {
        FileFacts(path: path, kind: .directory, mode: 0o710, owner: 102, group: 105, ownerName: "postfix")
    }

    private func facts() -> Facts {
        let state = FileFacts(path: "/s", kind: .directory, mode: 0o700, owner: 0)
        return Facts(
            configurationFile: "/etc/etrnd.cf", configurationWarnings: [], engine: "spool", doctor: root,
            state: StateFacts(directory: state, parent: state, files: []), disks: [],
            daemon: DaemonFacts(doors: [.init(address: "unix:/a", answer: .alive)], askedAt: "unix:/a", engine: "spool"))
    }

    private func postfixFacts() -> PostfixFacts {
        PostfixFacts(
            configurationDirectory: "/etc/postfix",
            mainCf: MainCf(
                parsing: """
                    queue_directory = /q
                    mail_version = 3.7.11
                    mail_owner = postfix
                    flush_service_name = etrnd
                    fast_flush_domains = static:all
                    smtpd_etrn_restrictions = reject
                    """),
            owner: postfix, queueDirectory: FileFacts(path: "/q", kind: .directory, mode: 0o755, owner: 0),
            publicDirectory: directory("/q/public"), messageDirectories: [directory("/q/deferred")],
            flushSocket: FileFacts(path: "/q/public/etrnd", kind: .socket, mode: 0o666, owner: 102, ownerName: "postfix"),
            conversation: .heard("protocol queue_flush_protocol"), manager: .init(answer: .taken, isMasterRunning: true), clock: .init())
    }

    @Test func factsThatAreWellAreAReportThatIsWell() {
        var facts = facts()
        #expect(Diagnosis.findings(facts).allSatisfy { $0.level == .ok })

        facts.postfix = postfixFacts()
        facts.engine = "postfix"
        facts.daemon.engine = "postfix"
        facts.state.directory.owner = 102
        let findings = Diagnosis.findings(facts)
        #expect(findings.filter { $0.level != .ok } == [])
        #expect(findings.map(\.subject).contains("flush socket") && findings.last?.subject == "readiness")
    }

    @Test func whatCausesComesBeforeWhatIsCaused() {
        var facts = facts()
        facts.postfix = postfixFacts()
        facts.postfix?.manager = .init(answer: .unreachable("refused"), isMasterRunning: false)
        facts.daemon = DaemonFacts(doors: [.init(address: "unix:/a", answer: .unreachable("refused"))])
        facts.domain = DomainFacts(
            name: .good(DomainName("x.example")!),
            nextHop: NextHopFacts(nextHop: "[192.0.2.1]:25", outcome: .tried([.init(address: "192.0.2.1:25", conversation: .silent)])))

        let failures = Diagnosis.findings(facts).filter { $0.level == .failure }.map(\.subject)

        #expect(failures == ["state_directory", "queue manager", "daemon", "next hop [192.0.2.1]:25"])
    }

    @Test func mainCfThatCannotBeReadIsToldAndTheRestGoesOn() {
        var facts = facts()
        facts.postfixProblem = "postconf: no"

        let findings = Diagnosis.findings(facts)

        #expect(findings.filter { $0.level == .failure }.map(\.subject) == ["main.cf"])
        #expect(findings.last?.subject == "readiness")
    }

    @Test func aSystemWithoutTheMailOwnerIsTold() {
        var facts = facts()
        facts.postfix = postfixFacts()
        facts.postfix?.owner = nil

        #expect(Diagnosis.findings(facts).contains { $0.subject == "mail_owner" && $0.level == .failure })
    }

    @Test func theDaemonsWarningsAreNotToldTwice() {
        var facts = facts()
        facts.postfix = postfixFacts()
        facts.configurationWarnings = ["relay_domains: x"]
        facts.daemon.warnings = ["relay_domains: x", "/etc/postfix/main.cf: old", "postfix_log /x: y", "news"]

        let warnings = Diagnosis.findings(facts).filter { $0.subject == "running configuration" }.map(\.text)

        #expect(warnings == ["news"])
    }
}
