// Replies as bytes.

import SMTPServer
import Testing

@Suite struct SMTPReplyTests {
    @Test func oneLineHasCodeEnhancedCodeAndText() {
        #expect(text(SMTPReply(550, "5.7.1", "Relay access denied")) == "550 5.7.1 Relay access denied\r\n")
        #expect(text(SMTPReply(354, nil, "Go on")) == "354 Go on\r\n")
    }

    @Test func everyLineRepeatsBothCodes() {
        let reply = SMTPReply(code: 250, enhanced: "2.0.0", lines: ["one", "two", "three"])

        #expect(text(reply) == "250-2.0.0 one\r\n250-2.0.0 two\r\n250 2.0.0 three\r\n")
    }

    @Test func aReplyWithoutTextIsStillALine() {
        #expect(text(SMTPReply(code: 250, enhanced: nil, lines: [])) == "250\r\n")
        #expect(text(SMTPReply(code: 250, enhanced: "2.0.0", lines: [])) == "250 2.0.0\r\n")
        #expect(text(SMTPReply(code: 250, enhanced: nil, lines: ["", "x"])) == "250-\r\n250 x\r\n")
    }

    @Test func textCannotForgeAReply() {
        let reply = SMTPReply(550, "5.1.1\r\n250 ok", "no\r\n250 2.0.0 yes\u{0}\u{7f}\u{1b}é\t.")

        let rendered = text(reply)

        #expect(rendered == "550 5.1.1??250 ok no??250 2.0.0 yes?????" + "?.\r\n")
        #expect(rendered.utf8.count { $0 == UInt8(ascii: "\n") } == 1)
    }

    @Test func aLineIsCutAtFiveHundredAndTwelveBytes() {
        let rendered = SMTPReply(code: 250, enhanced: "2.0.0", lines: [String(repeating: "x", count: 5000), "y"]).rendered

        let lines = rendered.split(separator: UInt8(ascii: "\n"))
        #expect(lines.map(\.count) == [511, 12])
        #expect(lines.allSatisfy { $0.last == UInt8(ascii: "\r") })
    }

    @Test func linesAreBounded() {
        let reply = SMTPReply(code: 250, enhanced: nil, lines: Array(repeating: "x", count: 1000))

        #expect(text(reply).hasSuffix("250-x\r\n250 x\r\n"))
        #expect(reply.rendered.count == 64 * 7)
    }

    private func text(_ reply: SMTPReply) -> String { String(decoding: reply.rendered, as: UTF8.self) }
}
