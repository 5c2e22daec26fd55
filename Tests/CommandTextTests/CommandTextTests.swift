// What people read, to the letter.

import CommandText
import FlushCore
import FlushTesting
import FlushWire
import Testing

@Suite struct CommandTextTests {
    private let now = Timestamp(seconds: 1_800_010_000)

    private func summary(_ name: String, messages: Int = 0, reason: String? = nil) -> DomainSummary {
        DomainSummary(
            domain: Samples.domain(name), mode: .fast, state: .active, messages: messages, bytes: messages * 1_500,
            oldestArrival: messages == 0 ? nil : Timestamp(seconds: 1_800_000_000), lastReason: reason, lastFlush: nil)
    }

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_549, "1.5 kB"), (1_550, "1.6 kB"), (9_949, "9.9 kB"), (9_950, "10 kB"),
        (999_499, "999 kB"), (999_500, "1.0 MB"), (12_000_000, "12 MB"), (5_000_000_000, "5.0 GB"), (4_000_000_000_000_000, "4000 TB"),
    ])
    func sizesAreShort(_ bytes: Int, _ text: String) { #expect(size(bytes) == text) }

    @Test(arguments: [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (3_600, "1 h"), (172_799, "47 h"), (172_800, "2 d")])
    func spansAreShort(_ seconds: Int, _ text: String) { #expect(span(.seconds(seconds)) == text) }

    @Test func aTableOfDomains() {
        let lines = MailText.domains(
            [
                summary("customer.example", messages: 42, reason: "connect to mail.customer.example[192.0.2.1]:25: Connection refused"),
                summary("ship.example"),
            ],
            at: now)

        #expect(
            lines == [
                "DOMAIN            STATE   MESSAGES   SIZE  OLDEST  LAST REASON",
                "customer.example  active        42  63 kB     2 h  connect to mail.customer.exa…",
                "ship.example      active         0    0 B       -",
            ])
    }

    @Test func tablesFitEightyColumnsWhateverIsInThem() {
        let long = String(repeating: "l", count: 60) + "." + String(repeating: "o", count: 60) + ".example"
        let message = MessageDescription(
            id: QueueID(String(repeating: "9", count: 60))!, place: .deferred, arrival: Timestamp(seconds: 0), size: 1 << 40, sender: "s@\(long)",
            recipients: [.init(address: "r@\(long)", state: .pending, reason: String(repeating: "why ", count: 50))])
        let report = KeptReport(
            id: Samples.queueID(1), original: Samples.queueID(2), arrival: now, size: 1, sender: "s@\(long)", recipients: ["r@\(long)", "x"],
            reason: long)
        var relay = Samples.relayDomain("\(String(repeating: "d", count: 60)).example")
        relay.owner = long
        relay.comment = long

        let all =
            MailText.domains([summary(long, messages: 1 << 30, reason: long)], at: now) + MailText.messages([message], at: now)
            + MailText.bounces([report], at: now) + ServiceText.relayDomains([relay])
            + FlushText.list([Samples.fullFlush(1, .domain(Samples.domain(long), subdomains: true))], at: now)

        for line in all { #expect(line.count <= 80, "\(line)") }
    }

    @Test func whatControlsATerminalIsNotShown() {
        let evil = "a\u{1B}]0;title\u{07}\r\n\u{9B}31m\u{202E}b\u{200B}c"
        #expect(safe(evil) == "a?]0;title????31m?b?c")
        let lines = MailText.domains([summary("customer.example", messages: 1, reason: evil)], at: now)
        #expect(lines.allSatisfy { !$0.unicodeScalars.contains("\u{1B}") })
    }

    @Test func aFlushFromTheRequestToItsEnd() {
        var flush = Samples.flush(1, .domain(Samples.domain("customer.example"), subdomains: false), state: .running)
        flush.matched = 14
        flush.matchedBytes = 183_500
        #expect(FlushText.asked(flush, at: now) == ["customer.example: 14 messages matched (184 kB), flush \(flush.id)"])

        flush.released = 14
        flush.delivered = 12
        flush.open = 2
        #expect(FlushText.progress(flush, width: 80) == "customer.example: 14 messages, 14 released, 12 delivered")

        flush.open = 0
        flush.deferredAgain = 2
        flush.state = .finished
        flush.lastReason = "connect to mail.customer.example[192.0.2.1]:25: Connection refused"
        #expect(FlushText.progress(flush, width: 40) == "customer.example: 14 messages, 14 relea…")
        #expect(
            FlushText.result(flush) == [
                "customer.example: finished: 14 messages, 14 released, 12 delivered, 2 deferred again",
                "  connect to mail.customer.example[192.0.2.1]:25: Connection refused",
            ])
        #expect(FlushText.leftBehind(flush) == 2)
    }

    @Test func whatIsUnusualAboutAFlushIsSaid() {
        var flush = Samples.flush(1, .domain(Samples.domain("customer.example"), subdomains: true))
        #expect(FlushText.asked(flush, at: now) == ["@customer.example: no messages waiting"])
        flush.dryRun = true
        flush.matched = 1
        flush.matchedBytes = 5
        flush.oldestArrival = Timestamp(seconds: 1_800_009_970)
        #expect(FlushText.asked(flush, at: now) == ["@customer.example: would match 1 message (5 B), the oldest 30 s old"])
        flush.dryRun = false
        flush.state = .running
        flush.mode = .slow
        flush.coalesced = true
        flush.scheduledAt = Timestamp(seconds: 1_800_010_300)
        #expect(
            FlushText.asked(flush, at: now) == [
                "@customer.example: 1 message matched (5 B), flush \(flush.id)", "  joins a flush that was under way",
                "  slow: starts in 5 min, when slow_flush_interval has passed",
            ])
    }

    @Test func theStatusInAFewLines() {
        var status = FlushStatus(
            startedAt: Timestamp(seconds: 1_800_000_000), isIndexComplete: true, messages: 42, bytes: 1_048_576,
            oldestArrival: Timestamp(seconds: 1_800_000_000), domains: 12, waitingDomains: 3, relayDomains: 1, flushesRunning: 1,
            flushesRequested: 57,
            messagesReleased: 120, delivered: 100, deferredAgain: 15, bounced: 2, departed: 3, adds: 0,
            lastReconcile: .init(at: Timestamp(seconds: 1_800_009_700), missing: 0, stale: 1, changed: 2, failure: nil))
        #expect(
            ServiceText.status(ServerStatus(version: "1.2.3", engine: "spool", status: status), at: now) == [
                "Service   etrnd 1.2.3, engine spool, up 2 h",
                "Queue     42 messages, 1.0 MB, the oldest 2 h old",
                "Domains   12 recorded, 3 with mail waiting; 1 relay domain",
                "Flushes   1 running, 57 asked for since the start",
                "Released  120: 100 delivered, 15 deferred again, 2 bounced, 3 gone",
                "Compared  5 min ago with the queue: 0 missing, 1 stale, 2 changed",
            ])
        status.isIndexComplete = false
        status.lastReconcile = nil
        #expect(
            ServiceText.status(ServerStatus(version: "1.2.3", engine: "spool", status: status), at: now).last
                == "Index     not complete yet: the counts may be too low")
    }

    @Test func colourIsOnlyWhereItIsAskedFor() {
        let difference = RelayDomainDifference(
            added: [Samples.domain("a.example")], changed: [], removed: [Samples.domain("b.example")], unchanged: 3)
        #expect(
            ServiceText.difference(difference, dryRun: true) == [
                "+ a.example", "- b.example", "1 would be created, 0 would be changed, 1 would be removed, 3 unchanged",
            ])
        #expect(ServiceText.difference(difference, dryRun: false, style: Style(usesColour: true)).first == "\u{1B}[32m+ a.example\u{1B}[0m")
    }
}
