// The state directory, the disk, the daemon, and who looks.

import Testing

@testable import Doctor

@Suite struct ServiceDiagnosisTests {
    let owner = Identity(user: 102, name: "postfix")

    private func file(_ path: String, _ kind: FileFacts.Kind = .directory, mode: UInt32 = 0o700, owner: UInt32 = 102) -> FileFacts {
        FileFacts(path: path, kind: kind, mode: mode, owner: owner, ownerName: owner == 0 ? "root" : "postfix")
    }

    private func state(_ directory: FileFacts, parent: FileFacts.Kind = .directory, files: [FileFacts] = []) -> StateFacts {
        StateFacts(directory: directory, parent: file("/var/lib", parent), files: files)
    }

    @Test func aClosedDirectoryOfTheDaemonsIsGood() {
        #expect(Diagnosis.state(state(file("/s")), owner: owner, isClosed: true).map(\.level) == [.ok])
        #expect(Diagnosis.state(state(file("/s")), owner: nil, isClosed: false).map(\.level) == [.ok])
    }

    @Test func aDirectoryThatIsNotThereIsMadeWhereItCanBe() {
        #expect(Diagnosis.state(state(file("/var/lib/s", .missing)), owner: owner, isClosed: true).map(\.level) == [.warning])
        #expect(Diagnosis.state(state(file("/var/lib/s", .missing), parent: .missing), owner: owner, isClosed: true).map(\.level) == [.failure])
        #expect(Diagnosis.state(state(file("/s", .regular)), owner: owner, isClosed: true).map(\.level) == [.failure])
    }

    @Test func openModesAreJudgedByTheEngine() {
        #expect(Diagnosis.state(state(file("/s", mode: 0o755)), owner: owner, isClosed: true).map(\.level) == [.failure])
        #expect(Diagnosis.state(state(file("/s", mode: 0o755)), owner: owner, isClosed: false).map(\.level) == [.ok])
        #expect(Diagnosis.state(state(file("/s", mode: 0o770)), owner: owner, isClosed: false).map(\.level) == [.failure])
    }

    @Test func aFileThatRootLeftThereIsNamed() {
        let findings = Diagnosis.state(
            state(file("/s"), files: [file("/s/flush"), file("/s/etrnd.db", .regular, mode: 0o600, owner: 0)]), owner: owner, isClosed: true)

        #expect(findings.map(\.level) == [.failure])
        #expect(findings[0].text.contains("/s/etrnd.db belongs to root") && findings[0].advice?.contains("chown -R postfix: /s") == true)
    }

    @Test func aFullDiskFails() {
        func disk(_ available: Int, files: Int? = 5) -> Finding {
            Diagnosis.disk(DiskFacts(path: "/s", available: available, availableFiles: files, required: 1_000, because: "queue_minfree"))
        }

        #expect(disk(1_000).level == .ok)
        #expect(disk(999).level == .failure && disk(999).text.contains("queue_minfree"))
        #expect(disk(1 << 40, files: 0).level == .failure)
        #expect(disk(1 << 40, files: nil).level == .ok)
    }

    @Test func whoSeesLessIsTold() {
        let alice = Identity(user: 1_000, name: "alice")

        #expect(Diagnosis.doctor(alice, daemon: owner).level == .warning)
        #expect(Diagnosis.doctor(alice, daemon: alice).level == .ok)
        #expect(Diagnosis.doctor(Identity(user: 0, name: "root"), daemon: owner).level == .ok)
        #expect(Diagnosis.doctor(alice, daemon: nil).level == .ok)
    }

    // MARK: The daemon

    private func door(_ address: String, _ answer: DaemonFacts.Door.Answer = .alive) -> DaemonFacts.Door {
        DaemonFacts.Door(address: address, answer: answer)
    }

    @Test func aDaemonThatIsReadyIsGood() {
        let facts = DaemonFacts(doors: [door("unix:/s/etrnd.sock")], askedAt: "unix:/s/etrnd.sock", engine: "spool")

        #expect(Diagnosis.daemon(facts, engine: "spool").map(\.level) == [.ok, .ok])
    }

    @Test func aDaemonThatIsDownFailsAtEachAddress() {
        let facts = DaemonFacts(doors: [door("unix:/a", .unreachable("no such file")), door("127.0.0.1:8025", .unreachable("refused"))])
        let findings = Diagnosis.daemon(facts, engine: "spool")

        #expect(findings.map(\.level) == [.failure, .failure])
        #expect(findings.allSatisfy { $0.advice?.contains("systemctl start etrnd") == true })
    }

    @Test func oneDeadAddressBesideALiveOneIsAWarning() {
        let facts = DaemonFacts(doors: [door("unix:/a"), door("127.0.0.1:8025", .strange("status 404"))], askedAt: "unix:/a", engine: "spool")

        #expect(Diagnosis.daemon(facts, engine: "spool").map(\.level) == [.ok, .warning, .ok])
    }

    @Test func whatThisUserMayNotAskIsNoFailure() {
        let facts = DaemonFacts(doors: [door("unix:/a", .forbidden), door("127.0.0.1:0", .unknowable)])

        #expect(Diagnosis.daemon(facts, engine: "spool").map(\.level) == [.warning])
    }

    @Test func aPortThatNobodyCanKnowIsNoFailure() {
        let alive = DaemonFacts(doors: [door("unix:/a"), door("127.0.0.1:0", .unknowable)], askedAt: "unix:/a", engine: "spool")
        #expect(Diagnosis.daemon(alive, engine: "spool").map(\.level) == [.ok, .ok, .ok])

        #expect(Diagnosis.daemon(DaemonFacts(doors: [door("127.0.0.1:0", .unknowable)]), engine: "spool").map(\.level) == [.warning])
        let dead = DaemonFacts(doors: [door("unix:/a", .unreachable("refused")), door("127.0.0.1:0", .unknowable)])
        #expect(Diagnosis.daemon(dead, engine: "spool").map(\.level) == [.failure])
    }

    @Test func anSMTPListenerMustGreet() {
        func levels(_ conversation: Conversation) -> [Finding.Level] {
            let facts = DaemonFacts(
                doors: [door("unix:/a")], smtpDoors: [.init(address: "127.0.0.1:2525", conversation: conversation)], askedAt: "unix:/a")
            return Diagnosis.daemon(facts, engine: "spool").filter { $0.subject == "smtp_listen" }.map(\.level)
        }

        #expect(levels(.heard("220 relay ESMTP")) == [.ok])
        #expect(levels(.heard("421 full")) == [.failure])
        #expect(levels(.unreachable("Connection refused")) == [.failure])
    }

    @Test func whatKeepsItFromBeingReadyFails() {
        let facts = DaemonFacts(
            doors: [door("unix:/a")], askedAt: "unix:/a", impediments: ["the queue is being read"], warnings: ["x: y"], engine: "spool")
        let findings = Diagnosis.daemon(facts, engine: "spool")

        #expect(findings.map(\.level) == [.ok, .failure, .warning])
        #expect(findings[1].text == "the queue is being read")
    }

    @Test func aDaemonThatDoesNotLetUsInIsAWarning() {
        let facts = DaemonFacts(doors: [door("127.0.0.1:8025")], refusal: "403: not in http_trusted_networks")
        let findings = Diagnosis.daemon(facts, engine: "spool")

        #expect(findings.map(\.level) == [.ok, .warning] && findings[1].text.contains("403"))
    }

    @Test func anotherEngineThanConfiguredFails() {
        let facts = DaemonFacts(doors: [door("unix:/a")], askedAt: "unix:/a", engine: "spool")

        #expect(Diagnosis.daemon(facts, engine: "postfix").map(\.level) == [.ok, .ok, .failure])
    }

    @Test(arguments: [
        ("unix:/run/x.sock", "unix:/run/x.sock"), ("127.0.0.1:8025", "http://127.0.0.1:8025"), ("0.0.0.0:8025", "http://127.0.0.1:8025"),
        ("[::]:8025", "http://[::1]:8025"), ("[::1]:8025", "http://[::1]:8025"),
    ])
    func aListeningAddressIsReachedFromHere(_ listening: String, _ url: String) {
        #expect(DaemonExamination.url(of: listening) == url)
    }

    @Test func aPortThatTheKernelChoosesCannotBeKnown() {
        #expect(DaemonExamination.url(of: "127.0.0.1:0") == nil)
    }

    // MARK: Permissions

    @Test func theFirstClassThatFitsDecides() {
        let file = FileFacts(path: "/x", kind: .regular, mode: 0o074, owner: 102, group: 4)

        #expect(!file.gives([.read], to: Identity(user: 102, name: "postfix", groups: [4])))
        #expect(file.gives([.read, .write, .search], to: Identity(user: 7, name: "x", groups: [4])))
        #expect(file.gives([.read], to: Identity(user: 7, name: "x", groups: [5])))
        #expect(!file.gives([.write], to: Identity(user: 7, name: "x", groups: [5])))
        #expect(file.gives([.write], to: Identity(user: 0, name: "root")))
    }
}
