// What a server's words mean for each recipient.

import CurlTransport
import Testing

@testable import SpoolQueue

@Suite struct DeliveryTranscriptTests {
    private typealias Step = CurlExchange.Step
    private static let host = "mail.customer.example[192.0.2.1]:25"

    private func result(
        _ exchanges: [(CurlExchange.Step, String)], ending: CurlResult.Ending = .completed, at step: CurlExchange.Step? = nil
    ) -> CurlResult {
        var result = CurlResult(ending: ending)
        result.exchanges = ([(.greeting, "220 hi"), (.hello, "250 hi")] + exchanges).map {
            CurlExchange(step: $0.0, code: Int($0.1.prefix(3)) ?? 0, lines: $0.1.split(separator: "\n").map(String.init))
        }
        result.interruptedStep = step
        result.connected = true
        result.address = "192.0.2.1"
        return result
    }

    private func judge(_ result: CurlResult, recipients: Int = 1) -> [RecipientOutcome] {
        DeliveryTranscript(result, host: "mail.customer.example", port: 25).outcomes(recipients: recipients)
    }

    private func said(_ reply: String, _ command: String) -> String { "host \(Self.host) said: \(reply) (in reply to \(command) command)" }

    @Test func eachRecipientHasItsOwnOutcome() {
        let outcomes = judge(
            result([
                (.mail, "250 ok"), (.recipient(0), "250 ok"), (.recipient(1), "450 4.2.1 not now"), (.recipient(2), "550 5.1.1 who?"),
                (.recipient(3), "251 forwards"), (.recipient(4), "354 what"), (.data, "354 go"), (.content, "250-2.0.0\n250 queued as 1"),
            ]), recipients: 5)

        #expect(
            outcomes == [
                .delivered(reply: "250-2.0.0 250 queued as 1"),
                .deferred(reason: said("450 4.2.1 not now", "RCPT TO")),
                .bounced(reply: said("550 5.1.1 who?", "RCPT TO")),
                .delivered(reply: "250-2.0.0 250 queued as 1"),
                .deferred(reason: said("354 what", "RCPT TO")),
            ])
    }

    @Test func whatTheServerSaysToTheSenderHoldsForAll() {
        #expect(judge(result([(.mail, "550 no")]), recipients: 2) == Array(repeating: .bounced(reply: said("550 no", "MAIL FROM")), count: 2))
        #expect(judge(result([(.mail, "451 later")])) == [.deferred(reason: said("451 later", "MAIL FROM"))])
        #expect(judge(result([(.mail, "354 eh")])) == [.deferred(reason: said("354 eh", "MAIL FROM"))])
        // With pipelining the recipients are answered too; the sender's reply decides.
        #expect(judge(result([(.mail, "451 later"), (.recipient(0), "503 no MAIL")])) == [.deferred(reason: said("451 later", "MAIL FROM"))])
    }

    @Test(arguments: [Step.data, .content])
    func aRefusedContentBouncesOnlyTheAccepted(step: CurlExchange.Step) {
        let command = step == .data ? "DATA" : "end of DATA"
        let before: [(CurlExchange.Step, String)] = [(.mail, "250 ok"), (.recipient(0), "250 ok"), (.recipient(1), "450 busy")]
        let go: [(CurlExchange.Step, String)] = step == .data ? [] : [(.data, "354 go")]

        #expect(
            judge(result(before + go + [(step, "554 virus")]), recipients: 2) == [
                .bounced(reply: said("554 virus", command)), .deferred(reason: said("450 busy", "RCPT TO")),
            ])
        #expect(judge(result(before + go + [(step, "452 full")]), recipients: 2)[0] == .deferred(reason: said("452 full", command)))
        #expect(judge(result(before + go + [(step, "421 bye")]), recipients: 2)[0] == .deferred(reason: said("421 bye", command)))
    }

    @Test func anUnexpectedAnswerToDataOrTheContentDefers() {
        let before: [(CurlExchange.Step, String)] = [(.mail, "250 ok"), (.recipient(0), "250 ok")]

        #expect(judge(result(before + [(.data, "250 thanks")])) == [.deferred(reason: said("250 thanks", "DATA"))])
        #expect(judge(result(before + [(.data, "354 go"), (.content, "354 go on")])) == [.deferred(reason: said("354 go on", "end of DATA"))])
    }

    @Test func tooManyRecipientsIsForNow() {
        #expect(judge(result([(.mail, "250 ok"), (.recipient(0), "552 too many")])) == [.deferred(reason: said("552 too many", "RCPT TO"))])
    }

    @Test func a421DefersThoseWithoutAnAnswer() {
        let outcomes = judge(result([(.mail, "250 ok"), (.recipient(0), "550 who?"), (.recipient(1), "421 closing")]), recipients: 3)

        #expect(
            outcomes == [
                .bounced(reply: said("550 who?", "RCPT TO")), .deferred(reason: said("421 closing", "RCPT TO")),
                .deferred(reason: "host \(Self.host) said: 421 closing"),
            ])
    }

    @Test func aLostConnectionDefersThoseWithoutADecision() {
        let outcomes = judge(
            result([(.mail, "250 ok"), (.recipient(0), "550 who?"), (.recipient(1), "250 ok")], ending: .lost, at: .data), recipients: 3)

        let lost = "lost connection with \(Self.host) while sending DATA command"
        #expect(outcomes == [.bounced(reply: said("550 who?", "RCPT TO")), .deferred(reason: lost), .deferred(reason: lost)])
    }

    @Test func afterTheFinalDotALossIsUnknown() {
        var unknown = result([(.mail, "250 ok"), (.recipient(0), "250 ok"), (.data, "354 go")], ending: .lost, at: .content)
        #expect(judge(unknown) == [.deferred(reason: "lost connection with \(Self.host) while sending message body")])

        unknown.finalDotSent = true
        #expect(
            judge(unknown) == [
                .deferred(reason: "lost connection with \(Self.host) while sending end of data -- message may be sent more than once")
            ])
    }

    @Test(arguments: [
        CurlResult.Ending.lost, .timedOut, .malformedReply, .cancelled, .uploadFailed("x"), .noResources("x"), .invalid("x"), .completed,
        .notOpened,
    ])
    func nothingWithoutAReplyDeliversOrBounces(ending: CurlResult.Ending) {
        for exchanges: [(CurlExchange.Step, String)] in [
            [], [(.mail, "250 ok")], [(.mail, "250 ok"), (.recipient(0), "250 ok")],
            [(.mail, "250 ok"), (.recipient(0), "250 ok"), (.data, "354 go")],
        ] {
            for outcome in judge(result(exchanges, ending: ending), recipients: 2) {
                if case .deferred = outcome {} else { Issue.record("\(outcome)") }
            }
        }
    }

    @Test func theReplyToTheDotCountsWhateverHappensAfter() {
        let all: [(CurlExchange.Step, String)] = [(.mail, "250 ok"), (.recipient(0), "250 ok"), (.data, "354 go"), (.content, "250 queued")]

        #expect(judge(result(all, ending: .cancelled)) == [.delivered(reply: "250 queued")])
    }

    @Test func aSiteIsReachedWhenItHasAnsweredEHLO() {
        func reached(_ exchanges: [CurlExchange], reused: Bool = false) -> Bool {
            var result = CurlResult(ending: .lost)
            result.exchanges = exchanges
            result.reusedConnection = reused
            return DeliveryTranscript(result, host: "h", port: 25).siteReached
        }
        let greeting = CurlExchange(step: .greeting, code: 220, lines: ["220 hi"])

        #expect(!reached([]))
        #expect(!reached([CurlExchange(step: .greeting, code: 554, lines: ["554 no"])]))
        #expect(!reached([greeting]))
        #expect(reached([greeting, CurlExchange(step: .hello, code: 550, lines: ["550 no"])]))
        #expect(reached([], reused: true))
    }

    @Test func reasonsAreOneShortLine() {
        let text = String(repeating: "ä", count: 400) + "\u{1b}[2J\u{0}"
        guard case .deferred(let reason) = judge(result([(.mail, "450 \u{7}" + text)]))[0] else {
            Issue.record("not deferred")
            return
        }

        #expect(reason.utf8.count <= 500)
        #expect(!reason.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7f })
    }

    @Test func connectionFailuresAreToldAsPostfixDoes() {
        var refused = CurlResult(ending: .notOpened)
        refused.code = 7
        refused.systemError = 111
        refused.address = "192.0.2.1"
        var unknown = CurlResult(ending: .notOpened)
        unknown.code = 6
        let slow = CurlResult(ending: .timedOut)
        var greeted = CurlResult(ending: .notOpened)
        greeted.connected = true
        greeted.exchanges = [CurlExchange(step: .greeting, code: 554, lines: ["554 go away"])]

        #expect(judge(refused) == [.deferred(reason: "connect to \(Self.host): Connection refused")])
        #expect(judge(unknown) == [.deferred(reason: "Host or domain name not found. Name service error for name=mail.customer.example")])
        #expect(judge(slow) == [.deferred(reason: "connect to mail.customer.example:25: Connection timed out")])
        #expect(judge(greeted) == [.deferred(reason: "host mail.customer.example:25 refused to talk to me: 554 go away")])
    }
}
