// The parts without sockets: replies, dots, the dialogue, what may be said at all.

import Testing

@testable import CurlTransport

@Suite struct ReplyReaderTests {
    private func read(_ text: String) throws -> [ReplyReader.Reply] {
        var reader = ReplyReader()
        var replies: [ReplyReader.Reply] = []
        for byte in text.utf8 { if let reply = try reader.take(byte) { replies.append(reply) } }
        return replies
    }

    @Test func readsOneReplyAfterAnother() throws {
        #expect(try read("250 ok\r\n354\r\n") == [.init(code: 250, lines: ["250 ok"]), .init(code: 354, lines: ["354"])])
    }

    @Test func aReplyOfSeveralLinesIsOne() throws {
        #expect(try read("250-a\r\n250-\r\n250 c\n") == [.init(code: 250, lines: ["250-a", "250-", "250 c"])])
    }

    @Test func waitsForTheRest() throws {
        #expect(try read("250-a\r\n250 b") == [])
    }

    @Test(arguments: ["hello\r\n", "\r\n", "25\r\n", "2500 x\r\n", "650 x\r\n", "150 x\r\n", "250-a\r\nb\r\n", "250x\r\n", "2\u{0}0 x\r\n"])
    func whatIsNoReplyIsRefused(text: String) {
        #expect(throws: ReplyReader.Malformed()) { try read(text) }
    }

    @Test func anEndlessReplyIsRefused() {
        #expect(throws: ReplyReader.Malformed()) { try read(String(repeating: "250-x\r\n", count: 200)) }
        #expect(throws: ReplyReader.Malformed()) { try read("250 " + String(repeating: "x", count: 70_000)) }
    }

    @Test func aLongLineIsCut() throws {
        let reply = try #require(try read("250 " + String(repeating: "x", count: 5_000) + "\r\n").first)

        #expect(reply.lines[0].utf8.count == ReplyReader.maximumLineLength)
    }
}

@Suite struct DotStufferTests {
    private func encode(_ text: String, pieces: Int) -> String {
        var stuffer = DotStuffer()
        var output: [UInt8] = []
        let bytes = Array(text.utf8)
        var i = 0
        while i < bytes.count {
            stuffer.encode(Array(bytes[i..<min(bytes.count, i + pieces)]), into: &output)
            i += pieces
        }
        stuffer.finish(into: &output)
        return String(decoding: output, as: UTF8.self)
    }

    @Test(arguments: [1, 2, 3, 1000])
    func encodesWhereverThePiecesEnd(pieces: Int) {
        #expect(encode("", pieces: pieces) == ".\r\n")
        #expect(encode(".", pieces: pieces) == "..\r\n.\r\n")
        #expect(encode("a\r\n.\r\n..b\r\n", pieces: pieces) == "a\r\n..\r\n...b\r\n.\r\n")
        #expect(encode("no end", pieces: pieces) == "no end\r\n.\r\n")
        #expect(encode("half\r", pieces: pieces) == "half\r\n.\r\n")
        #expect(encode("a.b\r\n", pieces: pieces) == "a.b\r\n.\r\n")
    }

    @Test(arguments: [1, 2, 3, 1000])
    func aBareLineFeedCannotHideAnEndOfData(pieces: Int) {
        #expect(encode("a\n.\r\nMAIL FROM:<x>\n.\n", pieces: pieces) == "a\r\n..\r\nMAIL FROM:<x>\r\n..\r\n.\r\n")
        #expect(encode("\n\n", pieces: pieces) == "\r\n\r\n.\r\n")
        #expect(encode("a\r\r\n", pieces: pieces) == "a\r\r\n.\r\n")
    }
}

@Suite struct MailDialogueTests {
    private func dialogue(_ recipients: [String], pipelining: Bool = false, reset: Bool = false) -> MailDialogue {
        var capabilities = MailCapabilities()
        capabilities.pipelining = pipelining
        let transfer = CurlTransfer(
            host: "h", port: 25, heloName: "me", sender: "s@x.example", recipients: recipients, content: TextUpload(""), size: 0)
        return MailDialogue(transfer, capabilities: capabilities, needsReset: reset)
    }

    private func reply(_ code: Int) -> ReplyReader.Reply { .init(code: code, lines: ["\(code) x"]) }

    @Test func saysOneCommandAtATimeWithoutPipelining() {
        var talk = dialogue(["a@y.example"])

        #expect(talk.begin() == .send(Array("MAIL FROM:<s@x.example>\r\n".utf8)))
        #expect(talk.received(reply(250)) == .send(Array("RCPT TO:<a@y.example>\r\n".utf8)))
        #expect(talk.received(reply(250)) == .send(Array("DATA\r\n".utf8)))
        #expect(talk.received(reply(354)) == .sendContent)
        talk.contentWasSent()
        #expect(talk.received(reply(250)) == .finish)
        #expect(talk.sessionIsGood && !talk.needsReset)
    }

    @Test func groupsCommandsWithPipeliningButNotData() {
        var talk = dialogue(["a@y.example", "b@y.example"], pipelining: true, reset: true)

        #expect(
            talk.begin()
                == .send(Array("RSET\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<a@y.example>\r\nRCPT TO:<b@y.example>\r\n".utf8)))
        #expect(talk.received(reply(250)) == .wait)
        #expect(talk.received(reply(250)) == .wait)
        #expect(talk.received(reply(550)) == .wait)
        #expect(talk.received(reply(250)) == .send(Array("DATA\r\n".utf8)))
        #expect(talk.exchanges.map(\.step) == [.reset, .mail, .recipient(0), .recipient(1)])
    }

    @Test func aRefusedSenderEndsItWithoutReset() {
        var talk = dialogue(["a@y.example"])
        _ = talk.begin()

        #expect(talk.received(reply(550)) == .finish)
        #expect(talk.sessionIsGood && !talk.needsReset)
    }

    @Test func noAcceptedRecipientMeansNoDataAndAResetLater() {
        var talk = dialogue(["a@y.example"])
        _ = talk.begin()
        _ = talk.received(reply(250))

        #expect(talk.received(reply(450)) == .finish)
        #expect(talk.sessionIsGood && talk.needsReset)
    }

    @Test func a421EndsTheSessionAtOnce() {
        var talk = dialogue(["a@y.example", "b@y.example"], pipelining: true)
        _ = talk.begin()
        _ = talk.received(reply(250))

        #expect(talk.received(reply(421)) == .finish)
        #expect(!talk.sessionIsGood)
    }

    @Test func aPositiveAnswerBeforeTheDotIsNotBelieved() {
        var talk = dialogue(["a@y.example"])
        _ = talk.begin()
        _ = talk.received(reply(250))
        _ = talk.received(reply(250))
        #expect(talk.received(reply(354)) == .sendContent)

        #expect(talk.received(reply(250)) == .unexpectedReply)
        #expect(!talk.exchanges.contains { $0.step == .content })
    }

    @Test func theFinalDotMustBeAskedForBeforeItIsSent() {
        var talk = dialogue(["a@y.example"])
        _ = talk.begin()
        _ = talk.received(reply(250))
        _ = talk.received(reply(250))

        #expect(talk.received(reply(250)) == .finish)
        #expect(!talk.sessionIsGood)
    }

    @Test func capabilitiesAreThoseOfTheLastHello() {
        let capabilities = MailCapabilities(openedBy: [
            CurlExchange(step: .greeting, code: 220, lines: ["220 x"]),
            CurlExchange(step: .hello, code: 250, lines: ["250-PIPELINING", "250-STARTTLS", "250 PIPELINING"]),
            CurlExchange(step: .startTLS, code: 220, lines: ["220 go"]),
            CurlExchange(step: .hello, code: 250, lines: ["250-x", "250-size 100", "250 8BITMIME"]),
        ])

        #expect(capabilities.size && capabilities.eightBitMIME && !capabilities.pipelining)
    }
}

@Suite struct SafeAddressTests {
    @Test(arguments: ["a@b.example", "\"a b\"@c.example", "\"a@b\"@c.example", "\"<\\\">\"@c", "postmaster", "a+b=c@[192.0.2.1]"])
    func ordinaryAndQuotedAddressesAreSafe(address: String) { #expect(CurlTransfer.isSafeAddress(address)) }

    @Test(arguments: ["", "a@b>\r\nDATA", "a b@c", "<a@b>", "a>@b", "\"a@b", "ä@b.example", "a\u{0}@b", "a@b\u{7f}", "a\\@b", "\"a\\"])
    func whatWouldBreakTheCommandIsNot(address: String) { #expect(!CurlTransfer.isSafeAddress(address)) }
}
