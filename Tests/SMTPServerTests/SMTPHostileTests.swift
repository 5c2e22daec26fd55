// Clients that mean harm: smuggling, floods, lines without end.

import DispatchSockets
import Testing

@testable import SMTPServer

@Suite struct SMTPHostileTests {
    /// What some servers take for the end of a content, followed by a second message.
    @Test(arguments: [
        "\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\n.\r", "\r\n\n.\r\n", "\r\r\n.\r\n", "\r\n.\r.\r\n",
        "\r\n\r.\r\n", "\r\n.\r\r\n",
    ])
    func nothingElseEndsTheContent(end: String) {
        let record = play(untilData + "first" + end + "MAIL FROM:<evil@x.example>\r\nRCPT TO:<b@site.example>\r\nDATA\r\nevil\r\n.\r\n")

        #expect(record.codes == ["220", "250", "250", "250", "354", "550"])
        #expect(record.output.contains("550 5.6.0 Bare "))
        #expect(record.messages.isEmpty)
        #expect(record.abandoned == 1)
        #expect(record.isClosed)
    }

    @Test(arguments: ["\r\n..\r\n", "\r\n. \r\n", "\r\n.\0\r\n", "\r\n.x\r\n", "\0.\r\n", "\u{85}.\r\n", "\u{2028}.\r\n", "\u{b}.\u{c}"])
    func whatIsNotTheEndIsContent(almost: String) {
        let record = play(untilData + "a" + almost + "b\r\n.\r\n")

        #expect(record.messages.count == 1)
        #expect(record.messages.first?.hasSuffix("b\r\n") == true)
        #expect(record.codes.last == "250")
    }

    @Test(arguments: ["EHLO a\nNOOP\r\n", "EHLO a\rNOOP\r\n", "\n", "\rx", "EHLO a\r\r\n", "NOOP\n\r\n"])
    func aBareLineEndInCommandsEndsTheSession(client: String) {
        let record = play(client + "NOOP\r\nNOOP\r\n")

        #expect(record.codes == ["220", "500"])
        #expect(record.isClosed)
    }

    @Test func contentIsNeverReadAsCommandsWhenDataIsRefused() {
        let content = "MAIL FROM:<evil@x.example>\r\nRCPT TO:<b@site.example>\r\nDATA\r\n"
        let unasked = play("EHLO a\r\nDATA\r\n" + content)
        let refused = play(untilData + content) { $0.refuseBegin = SMTPReply(451, "4.3.0", "No") }

        #expect(unasked.codes == ["220", "250", "503", "421"])
        #expect(refused.codes == ["220", "250", "250", "250", "451", "421"])
        #expect(unasked.isClosed && refused.isClosed)
        #expect(refused.envelopes.isEmpty)
    }

    @Test func contentThatComesTooEarlyWaitsForThe354() {
        var driver = SessionDriver()
        driver.feed("EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n")
        driver.feed("DATA\r\nQUIT\r\n.\r\n")

        #expect(driver.record.messages == ["QUIT\r\n"])
        #expect(driver.record.codes.suffix(2) == ["354", "250"])
    }

    @Test func aLineMayBeAsLongAsTheLimitAndNoLonger() {
        let fits = "NOOP " + String(repeating: "x", count: 2048 - 7) + "\r\n"
        let record = play(fits + "x" + fits + "NOOP\r\n")

        #expect(record.codes == ["220", "250", "500", "250"])
        #expect(record.output.contains("500 5.5.2 Line too long: at most 2048 bytes"))
    }

    @Test func anOverlongLineIsNotKept() {
        var driver = SessionDriver()
        for _ in 0..<30 { driver.feed(String(repeating: "x", count: 2048)) }

        #expect(driver.session.input.count <= 2048)
        driver.feed("\r\nNOOP\r\n")
        #expect(driver.record.codes == ["220", "500", "250"])
    }

    @Test func anEndlessLineEndsTheSession() {
        var driver = SessionDriver()
        var fed = 0
        while !driver.record.isClosed, fed < 1_000_000 {
            driver.feed(String(repeating: "x", count: 1000))
            fed += 1000
        }

        #expect(driver.record.codes == ["220", "421"])
        #expect(fed < 100_000)
    }

    @Test func twentyErrorsEndTheSession() {
        let record = play(String(repeating: "FOO\r\n", count: 1000))

        #expect(record.codes.count == 22)
        #expect(record.codes.suffix(2) == ["500", "421"])
        #expect(record.isClosed)
    }

    @Test func refusedRecipientsAreErrorsToo() {
        let record = play("EHLO a\r\nMAIL FROM:<a@b.example>\r\n" + String(repeating: "RCPT TO:<x@y.example>\r\n", count: 100)) {
            $0.refuseRecipient = { _ in SMTPReply(550, "5.1.1", "Unknown") }
        }

        #expect(record.codes.filter { $0 == "550" }.count == 20)
        #expect(record.codes.last == "421")
    }

    @Test func anAcceptedMessageForgivesEarlierErrors() {
        var limits = SMTPLimits()
        limits.maximumErrors = 3
        let record = play("FOO\r\nFOO\r\n" + untilData + ".\r\nFOO\r\nFOO\r\nNOOP\r\n", limits)

        #expect(record.codes.last == "250")
        #expect(!record.isClosed)
    }

    @Test func commandsWithoutAMessageAreCounted() {
        let record = play(String(repeating: "NOOP\r\n", count: 1000))

        #expect(record.codes.filter { $0 == "250" }.count == 100)
        #expect(record.codes.last == "421")
        #expect(record.isClosed)
    }

    @Test func moreRecipientsThanAllowedAreDeferred() {
        var limits = SMTPLimits()
        limits.maximumRecipients = 2
        let record = play(
            "EHLO a\r\nMAIL FROM:<a@b.example>\r\n" + String(repeating: "RCPT TO:<c@d.example>\r\n", count: 4) + "DATA\r\n.\r\n", limits)

        #expect(record.codes == ["220", "250", "250", "250", "250", "452", "452", "354", "250"])
    }

    @Test func aFloodOfRecipientsEndsTheSession() {
        var limits = SMTPLimits()
        limits.maximumRecipients = 2
        let record = play("EHLO a\r\nMAIL FROM:<a@b.example>\r\n" + String(repeating: "RCPT TO:<c@d.example>\r\n", count: 100), limits)

        #expect(record.codes.filter { $0 == "452" }.count == 18)
        #expect(record.codes.last == "421")
        #expect(record.isClosed)
    }

    @Test(arguments: [(99, "250"), (100, "250"), (101, "552")])
    func theSizeThatCountsIsTheContents(size: Int, code: String) {
        var limits = SMTPLimits()
        limits.maximumMessageSize = 100
        let record = play(untilData + "." + String(repeating: ".", count: size - 2) + "\r\n.\r\nNOOP\r\n", limits)

        #expect(record.codes.suffix(2) == [code, "250"])
        #expect(record.messages.count == (code == "250" ? 1 : 0))
        #expect(record.abandoned == (code == "250" ? 0 : 1))
    }

    @Test func aContentMuchTooLargeEndsTheSession() {
        var limits = SMTPLimits()
        limits.maximumMessageSize = 1000
        limits.maximumDiscard = 5000
        limits.contentChunk = 100
        var driver = SessionDriver(limits)
        driver.feed(untilData)
        var fed = 0
        while !driver.record.isClosed, fed < 100_000 {
            driver.feed(String(repeating: "x", count: 99))
            fed += 99
        }

        #expect(driver.record.codes.last == "552")
        #expect(driver.record.abandoned == 1)
        #expect(fed < 7000)
    }

    @Test func whatADisconnectLeavesIsAbandonedOnce() {
        var driver = SessionDriver()
        driver.feed(untilData + "x")
        driver.session.disconnected()
        driver.run()
        driver.session.disconnected()
        driver.run()

        #expect(driver.record.abandoned == 1)
        #expect(driver.session.waitsFor == .nothing)
    }

    @Test func aWriterThatComesAfterTheDisconnectIsAbandoned() {
        var session = sessionAsking(untilData)
        session.disconnected()
        #expect(session.next() == nil)
        session.answered(nil)

        guard case .abandon? = session.next() else { return #expect(Bool(false), "no abandon") }
        #expect(session.next() == nil)
    }

    @Test func aRefusalThatComesAfterTheDisconnectLeavesNothing() {
        var session = sessionAsking(untilData)
        session.disconnected()
        session.answered(SMTPReply(451, "4.3.0", "No"))

        #expect(session.next() == nil)
        #expect(session.waitsFor == .nothing)
    }

    @Test func aCommitUnderWayIsNotAbandoned() {
        var session = sessionAsking(untilData)
        session.answered(nil)
        session.receive(Array(".\r\n".utf8).span.bytes)
        while let step = session.next() { if case .commit = step { break } }
        session.disconnected()
        session.committed(SMTPReply(250, "2.0.0", "Queued"))

        #expect(session.next() == nil)
        #expect(session.waitsFor == .nothing)
    }

    @Test func nothingIsReadWhileAQuestionIsOpen() {
        var session = sessionAsking("EHLO a\r\nMAIL FROM:<a@b.example>\r\n")
        session.receive(Array("QUIT\r\n".utf8).span.bytes)

        #expect(session.next() == nil)
        #expect(session.waitsFor == .intake)
        session.answered(nil)
        #expect(session.next() != nil)
    }

    /// Random bytes of the alphabet that matters, whole and in pieces: same end, and never a message that was not ended properly.
    @Test(arguments: 1...200)
    func noiseIsTheSameInOnePieceAndInMany(seed: UInt64) {
        var random = SplitMix(state: seed)
        let alphabet = Array("\r\n\r\n\r\n...ab \u{0}".utf8)
        let noise = (0..<60).map { _ in alphabet[Int(random.next() % UInt64(alphabet.count))] }
        let client = Array(untilData.utf8) + noise

        var whole = SessionDriver()
        whole.feed(client)
        var pieces = SessionDriver()
        for byte in client { pieces.feed([byte]) }

        #expect(whole.record == pieces.record)
        let text = String(decoding: [13, 10] + noise, as: Unicode.ASCII.self)
        if !whole.record.messages.isEmpty { #expect(Array(text.utf8).contains([13, 10, 46, 13, 10])) }
    }

    /// A session that has put a question, driven with yes until then.
    private func sessionAsking(_ client: String) -> SMTPSession {
        var session = SMTPSession(hostname: "mail.example", peer: .test, limits: SMTPLimits())
        session.receive(Array(client.utf8).span.bytes)
        let questions = client.lines.count - 1
        var asked = 0
        while let step = session.next() {
            guard step.isQuestion else { continue }
            asked += 1
            if asked < questions { session.answered(nil) }
        }
        return session
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
