// Reports: their form, their way, and that a crash neither loses nor doubles one.

import FlushCore
import FlushTesting
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct BounceTests {
    private func open(relayhost: String? = nil, in spool: Spool? = nil) async throws -> Spool {
        let hop = try relayhost.map { try NextHop(parsing: $0) }
        let spool = try await Spool.open(parameters: { $0.relayhost = hop })
        spool.sites.answer(
            "never@normal.example", .bounced(reply: "host mail.normal.example said: 550 5.1.1 no such user (in reply to RCPT TO command)"))
        return spool
    }

    @Test func withoutARelayhostTheReportIsKept() async throws {
        let spool = try await open()
        let id = try await spool.send(to: ["never@normal.example"])
        await spool.events.waitForAttempts(1)

        let list = try await spool.queue.bounces(after: nil, limit: 10)
        let report = try #require(list.first)
        #expect(list.count == 1)
        #expect(report.original == id)
        #expect(report.id == SpoolID.report(of: id, reported: 0))
        #expect(report.sender == "alice@origin.example")
        #expect(report.recipients == ["never@normal.example"])
        #expect(report.reason.contains("550 5.1.1 no such user"))
        #expect(report.content == nil)
        #expect(try await spool.queue.bounces(after: report.id, limit: 10).isEmpty)
        #expect(try await spool.queue.bounces(after: nil, limit: 0).isEmpty)

        let text = try #require(try await spool.queue.bounce(report.id).content)
        #expect(text.utf8.count == report.size)
        #expect(text.contains("To: <alice@origin.example>\r\n"))
        #expect(text.contains("Auto-Submitted: auto-replied\r\n"))
        #expect(
            text.contains(
                "Final-Recipient: rfc822; never@normal.example\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mail.normal.example\r\nDiagnostic-Code: smtp; 550"
            ))
        #expect(text.contains("Subject: hello\r\n"))
        #expect(!text.contains("A line."))

        try await spool.queue.removeBounce(report.id)
        await #expect(throws: MailQueueError.notFound(report.id)) { try await spool.queue.bounce(report.id) }
        await #expect(throws: MailQueueError.notFound(report.id)) { try await spool.queue.removeBounce(report.id) }
        #expect(spool.files("bounces").isEmpty)
        await spool.stop()
    }

    @Test func withARelayhostTheReportIsSentToTheSender() async throws {
        let spool = try await open(relayhost: "[relay.provider.example]:25")
        try await spool.send(to: ["never@normal.example"])
        await spool.events.waitForAttempts(2)

        let record = try #require(spool.sites.records.first)
        #expect(record.host == "relay.provider.example")
        #expect(record.sender == "")
        #expect(record.recipients == ["alice@origin.example"])
        #expect(SpoolFolder.allCases.flatMap { spool.files($0.name) }.isEmpty)
        await spool.stop()
    }

    @Test func aReportIsNeverReportedAbout() async throws {
        let spool = try await open(relayhost: "[relay.provider.example]:25")
        spool.sites.answer("alice@origin.example", .bounced(reply: "550 5.1.1 gone"))
        let id = try await spool.send(to: ["never@normal.example"])
        await spool.events.waitForAttempts(2)

        let list = try await spool.queue.bounces(after: nil, limit: 10)
        #expect(list.map(\.original) == [id])
        #expect(SpoolFolder.queue.flatMap { spool.files($0.name) }.isEmpty)
        await spool.stop()
    }

    @Test func theNullSendersReportIsKeptEvenWithARelayhost() async throws {
        let spool = try await open(relayhost: "[relay.provider.example]:25")
        try await spool.send(from: "", to: ["never@normal.example"])
        await spool.events.waitForAttempts(1)

        #expect(try await spool.queue.bounces(after: nil, limit: 10).map(\.sender) == [""])
        #expect(spool.sites.records.isEmpty)
        await spool.stop()
    }

    @Test func aReportThatWaitedForARelayhostIsKeptWhenThereIsNoneAnyMore() async throws {
        let spool = try await open(relayhost: "[relay.provider.example]:25")
        spool.sites.setDown("relay.provider.example", "Connection refused")
        try await spool.send(to: ["never@normal.example"])
        await spool.events.waitForAttempts(2)
        #expect(spool.files("deferred").count == 1)

        let again = try await spool.reopened { $0.relayhost = nil }
        await again.time.advance(by: .seconds(400))
        await again.events.waitForAttempts(1)

        #expect(again.files("bounces").count == 1)
        #expect(again.files("deferred").isEmpty)
        await again.stop()
    }

    @Test func eachAttemptThatBouncesMakesAReportOfItsOwn() async throws {
        let spool = try await open()
        spool.sites.answer("later@normal.example", .deferred(reason: "450 later"))
        try await spool.send(to: ["never@normal.example", "later@normal.example"])
        await spool.events.waitForAttempts(1)
        #expect(spool.files("bounces").count == 1)

        spool.sites.answer("later@normal.example", .bounced(reply: "554 no"))
        await spool.time.advance(by: .seconds(301))
        await spool.events.waitForAttempts(2)

        let list = try await spool.queue.bounces(after: nil, limit: 10)
        #expect(list.map(\.recipients) == [["never@normal.example"], ["later@normal.example"]])
        await spool.stop()
    }

    @Test func theOldestReportGivesWayWhenTooManyAreKept() async throws {
        let spool = try await Spool.open(parameters: { $0.keptReportLimit = 3 })
        var originals: [QueueID] = []
        for number in 0..<5 {
            spool.sites.answer("never\(number)@normal.example", .bounced(reply: "550 no"))
            originals.append(try await spool.send(to: ["never\(number)@normal.example"]))
            await spool.events.waitForAttempts(number + 1)
        }

        #expect(try await spool.queue.bounces(after: nil, limit: 10).map(\.original) == Array(originals.suffix(3)))

        let again = try await spool.reopened { $0.keptReportLimit = 3 }
        again.sites.answer("never5@normal.example", .bounced(reply: "550 no"))
        originals.append(try await again.send(to: ["never5@normal.example"]))
        await again.events.waitForAttempts(1)
        #expect(try await again.queue.bounces(after: nil, limit: 10).map(\.original) == Array(originals.suffix(3)))
        await again.stop()
    }

    // MARK: The text

    @Test func headersAreCutAtALinesEndAndAtTheBody() {
        let headers = Array("Subject: a\r\nTo: b\r\n\r\nbody\r\n".utf8)
        #expect(BounceReport.headers(of: headers).elementsEqual("Subject: a\r\nTo: b\r\n".utf8))
        let long = Array(String(repeating: "X: \(String(repeating: "y", count: 995))\r\n", count: 100).utf8)
        let cut = BounceReport.headers(of: long)
        #expect(cut.count <= BounceReport.maximumHeaders && cut.count % 1_000 == 0 && !cut.isEmpty)
        #expect(BounceReport.headers(of: Array(repeating: 0x61, count: 100_000)).isEmpty)
        #expect(BounceReport.headers(of: Array("\r\nonly a body\r\n".utf8)).isEmpty)
    }

    @Test(arguments: [
        ("host x said: 550 5.1.1 unknown", "5.1.1", true), ("554 refused", "5.0.0", true), ("550-5.7.1 multi", "5.0.0", true),
        ("message expired after 5 seconds in the queue; the last attempt: 450 4.2.1 full", "4.4.7", false),
        ("host x said: 550 Exim 4.94.2 does not know him", "5.0.0", true), ("550-5.1.1 who 550 5.1.1 is that", "5.1.1", true),
        ("5.1.3 the recipient's address cannot be written in SMTP", "5.1.3", false), ("host 1.2.3.4 said no", "5.0.0", false),
    ])
    func statusAndKindFollowFromTheReason(_ reason: String, _ status: String, _ isReply: Bool) {
        #expect(BounceReport.status(of: reason) == status)
        #expect(BounceReport.isReply(reason) == isReply)
    }

    @Test func aQuotedReplyStandsByItselfBesideItsHost() {
        let quoted = BounceReport.quoted("host mail.b.example[192.0.2.1]:25 said: 550 5.1.1 no (in reply to x) (in reply to RCPT TO command)")
        #expect(quoted?.host == "mail.b.example")
        #expect(quoted?.reply == "550 5.1.1 no (in reply to x)")
        #expect(BounceReport.quoted("message expired; the last attempt: host x said: 450 no") == nil)
        #expect(BounceReport.quoted("host x said: 450 no") == nil)
        let report = BounceReport(
            id: QueueID("r1")!, reporter: "relay.example", sender: "alice@origin.example", original: QueueID("o1")!,
            arrival: Timestamp(seconds: 0), now: Timestamp(seconds: 60),
            failures: [.init(recipient: "a@b.example", reason: "host mail.b.example[192.0.2.1]:25 said: 550 no (in reply to RCPT TO command)")])
        let text = String(decoding: report.content(original: Array("Subject: Größe\r\n\r\n".utf8)), as: UTF8.self)
        #expect(text.contains("\r\nRemote-MTA: dns; mail.b.example\r\nDiagnostic-Code: smtp; 550 no\r\n\r\n"))
        // A part of 8 bits makes the whole one (RFC 2045, section 6.4).
        #expect(text.firstRange(of: "\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--report-") != nil)
    }

    @Test func everyLineEndsWithCRLFAndIsASCIIWhereItMustBe() {
        let report = BounceReport(
            id: QueueID("r1")!, reporter: "relay.example", sender: "alice@origin.example", original: QueueID("o1")!,
            arrival: Timestamp(seconds: 0), now: Timestamp(seconds: 60),
            failures: [.init(recipient: "a@b.example", reason: "550 Größe\r\nInjected: yes")])
        let bytes = report.content(original: Array("Subject: x\r\n\r\n".utf8))

        for (index, byte) in bytes.enumerated() where byte == 0x0a { #expect(bytes[index - 1] == 0x0d) }
        #expect(bytes.allSatisfy { $0 < 0x80 })
        #expect(!String(decoding: bytes, as: UTF8.self).contains("\r\nInjected"))
    }
}
