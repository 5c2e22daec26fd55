// What the mail log tells of recipients that have left the queue.

import FlushCore
import FlushTesting
import Glibc
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct MailLogTests {
    private let sent =
        "Nov 22 22:16:16 mx postfix/smtp[21745]: 52680FE034: to=<user0001@customer.test>, relay=127.0.0.1[127.0.0.1]:12526, delay=1, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)"

    @Test func readsALineOfADeliveryAgent() {
        let line = MailLogLine(sent)

        #expect(line?.id == QueueID("52680FE034"))
        #expect(line?.recipient == "user0001@customer.test")
        #expect(line?.status == .sent)
        // What a server says to mail that it takes is of no interest, and is not kept.
        #expect(line?.text == "")
    }

    @Test func knowsThatAMessageHasLeft() {
        #expect(MailLogLine("Nov 22 22:16:16 mx postfix/qmgr[99]: 52680FE034: removed")?.status == .removed)
        #expect(MailLogLine("Nov 22 22:16:16 mx postfix/qmgr[99]: 52680FE034: removed by hand") == nil)
    }

    @Test(arguments: [
        ("status=bounced (host said: 550 5.1.1 (nobody))", MailLogLine.Status.bounced), ("status=deferred (451 later)", .deferred),
        ("status=expired (too old)", .bounced),
    ])
    func knowsTheStatus(_ end: String, _ status: MailLogLine.Status) {
        #expect(MailLogLine("x postfix/smtp[1]: A1: to=<a@b.test>, orig_to=<c@d.test>, relay=none, \(end)")?.status == status)
    }

    @Test(arguments: [
        "", "]: ", "x postfix/qmgr[1]: A/1: removed", "x postfix/qmgr[1]: A1: from=<a@b>, size=1", "x postfix/smtp[1]: A1: to=<a@b.test>, relay=x",
        "x postfix/smtp[1]: A1: to=<a@b.test, status=sent (x)", "x postfix/smtp[1]: A/1: to=<a@b.test>, relay=x, status=sent (x)",
        "x postfix/smtp[1]: A1: to=<a@b.test>, relay=x, status=weird (x)",
    ])
    func otherLinesTellNothing(_ line: String) {
        #expect(MailLogLine(line) == nil)
    }

    @Test func followsTheLogThroughRotation() async throws {
        let postfix = try FakePostfix()
        let path = "\(postfix.layout.queueDirectory)/mail.log"
        append(sent + "\n", to: path)
        try await Engine.run(postfix, mailLog: path) { engine in
            let first = postfix.put(["u@branch.example"])
            let second = postfix.put(["u@branch.example", "v@branch.example"])
            _ = try await engine.queue.release([first, second], by: Samples.flushID(1), for: .everything, unthrottle: false)
            append("x postfix/smtp[1]: \(first): to=<u@branch.example>, relay=x, status=sent (250 ok)\n", to: path)
            rename(path, path + ".1")
            append("x postfix/smtp[1]: \(second): to=<u@branch.example>, relay=x, status=bounced (550 no)\n", to: path)
            append("x postfix/smtp[1]: \(second): to=<v@branch.example>, relay=x, status=sent (250 ok)\n", to: path)
            for id in [first, second] { postfix.unlinkMessage(id, in: .incoming) }

            let one = try await engine.attempt(on: first)
            let two = try await engine.attempt(on: second)

            let branch = DomainName("branch.example")!
            #expect(one.outcomes == [DomainOutcome(domain: branch, delivered: 1)])
            #expect(two.outcomes == [DomainOutcome(domain: branch, delivered: 1, bounced: 1, reason: "550 no")])
        }
    }

    @Test func aLogThatSaysNothingHoldsNobodyUp() async throws {
        let postfix = try FakePostfix()
        try await Engine.run(postfix, mailLog: "\(postfix.layout.queueDirectory)/no.log") { engine in
            let id = postfix.put(["u@branch.example"])
            _ = try await engine.queue.release([id], by: Samples.flushID(1), for: .everything, unthrottle: false)
            postfix.unlinkMessage(id, in: .incoming)

            let attempt = try await engine.attempt(on: id)

            #expect(attempt.outcomes.isEmpty)
            #expect(attempt.flush == Samples.flushID(1))
        }
    }

    private func append(_ text: String, to path: String) { FakePostfix.append(text, to: path) }
}
