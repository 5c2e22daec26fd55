// Each thing that can be wrong with a Postfix, told by itself.

import FlushCore
import Testing

@testable import Doctor
@testable import PostfixQueue

@Suite struct PostfixDiagnosisTests {
    let postfix = Identity(user: 102, name: "postfix", groups: [105])

    @Test(arguments: ["3.6.0", "3.7.11", "3.12-20260101", "4.0"])
    func aVersionThatGreetsIsGood(_ version: String) {
        #expect(Diagnosis.version(version).level == .ok)
    }

    @Test(arguments: ["3.5.25", "2.11.3", "3.5-20200101"])
    func anOlderVersionFails(_ version: String) {
        let finding = Diagnosis.version(version)

        #expect(finding.level == .failure && finding.text.contains(version))
        #expect(finding.advice?.contains("3.6") == true)
    }

    @Test(arguments: [nil, "", "3", "x.y"])
    func aVersionThatCannotBeReadIsAWarning(_ version: String?) {
        #expect(Diagnosis.version(version).level == .warning)
    }

    @Test func nativeFlushNamesTheCommandsThatChangeIt() {
        let finding = Diagnosis.flushServiceName(MainCf(parsing: "queue_directory = /q\n"), at: "/etc/postfix")

        #expect(finding.level == .failure)
        #expect(finding.advice == "postconf -c /etc/postfix -e flush_service_name=etrnd && postfix -c /etc/postfix reload")
        #expect(Diagnosis.flushServiceName(MainCf(parsing: "flush_service_name = etrnd\n"), at: "/x").level == .ok)
    }

    @Test func onlyAllDomainsLeaveTheDecisionToUs() {
        #expect(Diagnosis.fastFlushDomains("static:all", at: "/x").level == .ok)
        #expect(Diagnosis.fastFlushDomains("", at: "/x").level == .failure)
        #expect(Diagnosis.fastFlushDomains("customer.test", at: "/x").level == .warning)
        let slow = Diagnosis.fastFlushDomains("proxy:sqlite:/x.cf", at: "/x")
        #expect(slow.level == .warning && slow.text.contains("hangs"))
    }

    @Test func emptyRestrictionsLetStrangersAsk() {
        #expect(Diagnosis.etrnRestrictions("", at: "/x").level == .warning)
        #expect(Diagnosis.etrnRestrictions("permit_mynetworks, reject", at: "/x") == .ok("smtpd_etrn_restrictions", "permit_mynetworks, reject"))
    }

    // MARK: Directories

    private func directory(_ path: String, mode: UInt32 = 0o700, owner: UInt32 = 102) -> FileFacts {
        FileFacts(path: path, kind: .directory, mode: mode, owner: owner, group: 105, ownerName: owner == 102 ? "postfix" : "root")
    }

    @Test func theDaemonsUserMustGetIntoEachQueueDirectory() {
        let top = directory("/q", mode: 0o755, owner: 0)

        #expect(Diagnosis.queueDirectories([top, directory("/q/deferred")], owner: postfix).level == .ok)
        let foreign = Diagnosis.queueDirectories([top, directory("/q/deferred"), directory("/q/hold", owner: 0)], owner: postfix)
        #expect(foreign.level == .failure && foreign.text.contains("/q/hold") && foreign.advice?.contains("chown postfix /q/hold") == true)
        let closed = Diagnosis.queueDirectories([directory("/q", mode: 0o700, owner: 0), directory("/q/deferred")], owner: postfix)
        #expect(closed.level == .failure && closed.advice == "chmod 755 /q")
        let readOnly = Diagnosis.queueDirectories([top, directory("/q/deferred", mode: 0o500)], owner: postfix)
        #expect(readOnly.level == .failure)
    }

    @Test func aMissingQueueDirectoryFailsAndAHiddenOneIsNotJudged() {
        let top = directory("/q", mode: 0o755, owner: 0)

        #expect(Diagnosis.queueDirectories([top, FileFacts(path: "/q/hold", kind: .missing)], owner: postfix).level == .failure)
        #expect(Diagnosis.queueDirectories([top, FileFacts(path: "/q/hold", kind: .hidden("no"))], owner: postfix).level == .warning)
    }

    @Test func publicMustBeOpenToOwnerAndGroup() {
        #expect(Diagnosis.publicDirectory(directory("/q/public", mode: 0o2710), owner: postfix).level == .ok)
        #expect(Diagnosis.publicDirectory(directory("/q/public", mode: 0o710), owner: postfix).level == .ok)
        #expect(Diagnosis.publicDirectory(directory("/q/public", mode: 0o700), owner: postfix).level == .failure)
        #expect(Diagnosis.publicDirectory(directory("/q/public", mode: 0o710, owner: 0), owner: postfix).level == .failure)
        #expect(Diagnosis.publicDirectory(FileFacts(path: "/q/public", kind: .missing), owner: postfix).level == .failure)
    }

    // MARK: The queue manager

    @Test func theQueueManagersSilenceIsToldByItsCause() {
        func finding(_ answer: PostfixFacts.QueueManager.Answer, _ master: Bool?) -> Finding {
            Diagnosis.queueManager(.init(answer: answer, isMasterRunning: master), at: "/etc/postfix")
        }

        #expect(finding(.taken, true).level == .ok)
        #expect(finding(.taken, nil).level == .ok)
        #expect(finding(.pending, true).level == .warning)
        #expect(finding(.forbidden, nil).level == .warning)
        let stopped = finding(.unreachable("refused"), false)
        #expect(stopped.level == .failure && stopped.advice == "postfix -c /etc/postfix start")
        let broken = finding(.unreachable("refused"), true)
        #expect(broken.level == .failure && broken.text.contains("Postfix runs"))
        #expect(finding(.unreachable("refused"), nil).level == .failure)
    }

    // MARK: The mail log

    @Test func theLogMustBeReadableForTheDaemon() {
        func log(_ mode: UInt32, group: UInt32, closed: String? = nil) -> PostfixFacts.MailLog {
            .init(
                file: FileFacts(path: "/var/log/mail.log", kind: .regular, mode: mode, owner: 0, group: group), closedDirectory: closed)
        }

        #expect(Diagnosis.mailLog(nil, reader: postfix).level == .ok)
        #expect(Diagnosis.mailLog(log(0o644, group: 4), reader: postfix).level == .ok)
        #expect(Diagnosis.mailLog(log(0o640, group: 105), reader: postfix).level == .ok)
        let secret = Diagnosis.mailLog(log(0o640, group: 4), reader: postfix)
        #expect(secret.level == .warning && secret.advice?.contains("adm") == true)
        #expect(Diagnosis.mailLog(log(0o644, group: 4, closed: "/var/log"), reader: postfix).level == .warning)
        #expect(Diagnosis.mailLog(.init(file: FileFacts(path: "/nope", kind: .missing)), reader: postfix).level == .warning)
    }

    // MARK: The clock

    @Test func aFileServersClockMustAgree() {
        #expect(Diagnosis.clock(.init(skew: .milliseconds(-900))).map(\.level) == [.ok])
        let behind = Diagnosis.clock(.init(skew: .seconds(-90)))
        #expect(behind.map(\.level) == [.failure] && behind[0].text.contains("90 s behind"))
        let ahead = Diagnosis.clock(.init(skew: .seconds(3_600)))
        #expect(ahead.map(\.level) == [.failure] && ahead[0].text.contains("3600 s ahead"))
        #expect(Diagnosis.clock(.init(skew: nil, filesLooked: 3)).map(\.level) == [.ok])
    }

    @Test func timesToComeAreWarnings() {
        #expect(Diagnosis.clock(.init(skew: .zero, filesLooked: 9, changedLater: 2, dueTooLate: 3)).map(\.level) == [.warning, .warning])
    }

    @Test(arguments: [("4000s", 4_000), ("2h", 7_200), ("1d", 86_400), ("300", 300)])
    func postfixTimesAreRead(_ text: String, _ seconds: Int) {
        #expect(PostfixTime.seconds(text) == seconds)
    }

    @Test(arguments: ["", "s", "x", "4q", "9223372036854775807w"])
    func whatIsNoTimeIsNone(_ text: String) {
        #expect(PostfixTime.seconds(text) == nil)
    }
}
