// The order of things: commands, their arguments, replies.

import DispatchSockets
import Testing

@testable import SMTPServer

@Suite struct SMTPSessionTests {
    @Test func aMessageTravelsWithEveryReplyInOrder() {
        let record = play(untilData + "Subject: x\r\n\r\n..dot\r\nline\r\n.\r\nQUIT\r\n")

        #expect(
            record.output == """
                220 mail.example ESMTP\r
                250-mail.example\r
                250-PIPELINING\r
                250-SIZE 10240000\r
                250-8BITMIME\r
                250 ENHANCEDSTATUSCODES\r
                250 2.1.0 OK\r
                250 2.1.5 OK\r
                354 End data with <CR><LF>.<CR><LF>\r
                250 2.0.0 Queued\r
                221 2.0.0 mail.example closing connection\r

                """)
        #expect(record.messages == ["Subject: x\r\n\r\n.dot\r\nline\r\n"])
        #expect(record.envelopes == ["client.example ESMTP <a@client.example> <b@site.example> 7BIT"])
        #expect(record.isClosed)
        #expect(record.abandoned == 0)
    }

    @Test func heloIsPlainSMTP() {
        let record = play("helo [192.0.2.1]\r\nmail from:<>\r\nrcpt to:<Postmaster>\r\ndata\r\n.\r\n")

        #expect(record.codes == ["220", "250", "250", "250", "354", "250"])
        #expect(record.output.contains("250 mail.example\r\n"))
        #expect(record.envelopes == ["[192.0.2.1] SMTP <> <Postmaster> 7BIT"])
        #expect(record.messages == [""])
    }

    /// The command is the last of a session that has said EHLO.
    @Test(arguments: [
        ("MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME", "250 2.1.0 OK"),
        ("MAIL FROM: <a@b.example>  ", "250 2.1.0 OK"),
        ("mail from:<a@b.example> size=0 body=7bit", "250 2.1.0 OK"),
        ("MAIL FROM:<a@b.example> SIZE=10240000", "250 2.1.0 OK"),
        ("MAIL FROM:<a@b.example> SIZE=10240001", "552 5.3.4 Message too large: at most 10240000 bytes"),
        ("MAIL FROM:<a@b.example> SIZE=99999999999999999999", "552 5.3.4 Message too large: at most 10240000 bytes"),
        ("MAIL FROM:<a@b.example> SIZE=999999999999999999999", "501 5.5.4 Bad SIZE parameter: not a number of bytes"),
        ("MAIL FROM:<a@b.example> SIZE=-1", "501 5.5.4 Bad SIZE parameter: not a number of bytes"),
        ("MAIL FROM:<a@b.example> SIZE=", "501 5.5.4 Bad SIZE parameter: not a number of bytes"),
        ("MAIL FROM:<a@b.example> SIZE", "501 5.5.4 Bad SIZE parameter: not a number of bytes"),
        ("MAIL FROM:<a@b.example> SIZE=1 SIZE=1", "501 5.5.4 Parameter SIZE given twice"),
        ("MAIL FROM:<a@b.example> BODY=7BIT BODY=7BIT", "501 5.5.4 Parameter BODY given twice"),
        ("MAIL FROM:<a@b.example> BODY=", "501 5.5.4 Bad BODY parameter: no value"),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "555 5.5.4 BODY is neither 7BIT nor 8BITMIME"),
        ("MAIL FROM:<a@b.example> SMTPUTF8", "555 5.5.4 Parameter SMTPUTF8 not recognized"),
        ("MAIL FROM:<a@b.example> AUTH=<>", "555 5.5.4 Parameter AUTH not recognized"),
        ("MAIL FROM:<a@b.example> =1", "501 5.5.4 Parameter without a name"),
        ("MAIL FROM:<a@b.example>SIZE=1", "501 5.5.4 Text after the sender address; syntax: MAIL FROM:<address>"),
        ("MAIL FROM:<a>", "501 5.1.7 Bad sender address: the domain is missing"),
        ("MAIL FROM:a@b.example", "501 5.1.7 Bad sender address: the address must stand in angle brackets"),
        ("MAIL FROM:<a@b.example", "501 5.1.7 Bad sender address: the closing angle bracket is missing"),
        ("MAIL FROM:<é@b.example>", "553 5.6.7 Bad sender address: the local part is not ASCII, and SMTPUTF8 is not offered"),
        ("MAIL <a@b.example>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL FROM", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("RCPT TO:<a@b.example>", "503 5.5.1 Give a MAIL command first"),
        ("DATA", "503 5.5.1 Give MAIL and RCPT commands first"),
        ("DATA now", "501 5.5.4 DATA takes no argument"),
        ("RSET", "250 2.0.0 OK"),
        ("RSET x", "501 5.5.4 RSET takes no argument"),
        ("NOOP whatever", "250 2.0.0 OK"),
        ("VRFY postmaster", "252 2.0.0 Cannot verify, but will take mail and try to deliver it"),
        ("VRFY", "501 5.5.4 Syntax: VRFY address"),
        ("EXPN list", "502 5.5.1 EXPN not implemented"),
        ("HELP", "214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"),
        ("QUIT now", "501 5.5.4 QUIT takes no argument"),
        ("ETRN site.example", "502 5.5.1 ETRN not implemented"),
        ("STARTTLS", "502 5.5.1 STARTTLS not implemented"),
        ("AUTH PLAIN AGEAYg==", "502 5.5.1 AUTH not implemented"),
        ("EHLO", "501 5.5.4 Syntax: EHLO hostname"),
        ("HELO a b", "501 5.5.4 Bad character in host name"),
        ("HELO a(b)", "501 5.5.4 Bad character in host name"),
        ("HELO bücher", "501 5.5.4 Bad character in host name"),
        ("", "500 5.5.2 Command not recognized"),
        (" NOOP", "500 5.5.2 Command not recognized"),
        ("MAILFROM:<a@b.example>", "500 5.5.2 Command not recognized"),
        ("content", "500 5.5.2 Command not recognized"),
        ("session", "500 5.5.2 Command not recognized"),
        ("NOOP\tx", "500 5.5.2 Control character in the command"),
        ("NOOP \u{0}", "500 5.5.2 Control character in the command"),
        ("GET / HTTP/1.1", "500 5.5.2 This is SMTP; closing connection"),
        ("BDAT 3 LAST", "502 5.5.1 BDAT is not offered; closing connection"),
    ])
    func aCommandGetsItsReply(command: String, reply: String) {
        let record = play("EHLO client.example\r\n\(command)\r\n")

        #expect(record.output.lines.last.map(String.init) == reply)
        #expect(record.isClosed == reply.contains("closing connection"))
    }

    @Test(arguments: [
        ("RCPT TO:<a@b.example>", "250 2.1.5 OK"),
        ("RCPT TO:<@relay.example:a@b.example>", "250 2.1.5 OK"),
        ("RCPT TO:<POSTMASTER>", "250 2.1.5 OK"),
        ("RCPT TO:<>", "501 5.1.3 Bad recipient address: it is empty"),
        ("RCPT TO:<root>", "501 5.1.3 Bad recipient address: the domain is missing"),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER", "555 5.5.4 Parameter NOTIFY not recognized"),
        ("RCPT FROM:<a@b.example>", "501 5.5.4 Syntax: RCPT TO:<address>"),
        ("MAIL FROM:<c@d.example>", "503 5.5.1 A MAIL command has been given already"),
        ("DATA", "554 5.5.1 No valid recipients"),
    ])
    func aCommandInATransactionGetsItsReply(command: String, reply: String) {
        let record = play("EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n\(command)\r\n")

        #expect(record.output.lines.last.map(String.init) == reply)
    }

    @Test func mailNeedsAGreeting() {
        let record = play("MAIL FROM:<a@b.example>\r\nEHLO bad name\r\nMAIL FROM:<a@b.example>\r\n")

        #expect(record.codes == ["220", "503", "501", "503"])
    }

    @Test(arguments: ["RSET", "EHLO client.example", "HELO client.example"])
    func aTransactionIsForgotten(by command: String) {
        let record = play("EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n\(command)\r\nDATA\r\n")

        #expect(record.codes.last == "503")
        #expect(record.envelopes.isEmpty)
    }

    @Test func theIntakesRefusalsAreSentAndTheTransactionGoesOn() {
        let client = """
            EHLO c.example\r
            MAIL FROM:<bad@b.example>\r
            MAIL FROM:<a@b.example>\r
            RCPT TO:<bad@d.example>\r
            RCPT TO:<c@d.example>\r
            RCPT TO:<late@d.example>\r
            DATA\r
            x\r
            .\r

            """
        let record = play(client) { driver in
            driver.refuseSender = { $0.localPart == "bad" ? SMTPReply(550, "5.7.1", "No") : nil }
            driver.refuseRecipient = { path in
                switch path.localPart {
                case "bad": SMTPReply(554, "5.7.1", "Relay access denied")
                case "late": SMTPReply(452, "4.3.1", "Disk low")
                default: nil
                }
            }
        }

        #expect(record.codes == ["220", "250", "550", "250", "554", "250", "452", "354", "250"])
        #expect(record.envelopes == ["c.example ESMTP <a@b.example> <c@d.example> 7BIT"])
    }

    @Test func aRefusalWithAPositiveCodeIsAnError() {
        let record = play("EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nDATA\r\n") { driver in
            driver.refuseSender = { _ in SMTPReply(250, "2.0.0", "meant as a refusal") }
        }

        #expect(record.codes == ["220", "250", "451", "503"])
    }

    @Test func twoMessagesFollowEachOtherInOneBatch() {
        let message = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
        let record = play("EHLO c.example\r\n\(message)one\r\n.\r\n\(message)two\r\n.\r\nNOOP\r\nQUIT\r\nNOOP\r\n")

        #expect(record.messages == ["one\r\n", "two\r\n"])
        #expect(record.codes == ["220", "250", "250", "250", "354", "250", "250", "250", "354", "250", "250", "221"])
        #expect(record.isClosed)
    }

    @Test func aRefusedBeginRefusesDataOnly() {
        var driver = SessionDriver()
        driver.refuseBegin = SMTPReply(452, "4.3.1", "Disk low")
        driver.feed(untilData)
        driver.refuseBegin = nil
        driver.feed("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\n")

        #expect(driver.record.codes == ["220", "250", "250", "250", "452", "250", "250", "354", "250"])
        #expect(driver.record.messages == ["x\r\n"])
    }

    @Test func aRefusedAppendIsToldAtTheEnd() {
        var limits = SMTPLimits()
        limits.contentChunk = 16
        var driver = SessionDriver(limits)
        driver.refuseAppend = SMTPReply(452, "4.3.1", "Disk full")
        driver.feed(untilData + String(repeating: "QUIT\r\n", count: 100) + ".\r\nNOOP\r\n")

        #expect(driver.record.codes == ["220", "250", "250", "250", "354", "452", "250"])
        #expect(driver.record.abandoned == 1)
        #expect(driver.record.messages.isEmpty)
        #expect(!driver.record.isClosed)
    }

    @Test func aRefusedLastAppendIsTold() {
        let record = play(untilData + "x\r\n.\r\nNOOP\r\n") { $0.refuseAppend = SMTPReply(554, "5.4.6", "Loop") }

        #expect(record.codes.suffix(2) == ["554", "250"])
        #expect(record.abandoned == 1)
    }

    @Test func aFailedCommitIsTold() {
        let record = play(untilData + "x\r\n.\r\nNOOP\r\n") { $0.verdict = SMTPReply(451, "4.3.0", "Not written") }

        #expect(record.codes.suffix(2) == ["451", "250"])
        #expect(record.abandoned == 0)
    }

    @Test func contentComesInChunks() {
        var limits = SMTPLimits()
        limits.contentChunk = 64
        let content = (0..<100).map { "line \($0)\r\n" }.joined()
        var driver = SessionDriver(limits)
        driver.feed(untilData + content + ".\r\n")

        #expect(driver.record.messages == [content])
        #expect(driver.largestChunk <= 64)
        #expect(driver.largestChunk >= 62)
    }

    @Test(arguments: [
        untilData + "a\r\n.\r\nQUIT\r\n",
        untilData + "..\r\n.x\r\n...\r\n\r\n.\r\nNOOP\r\nRSET\r\nVRFY a\r\n",
        "EHLO a\r\nFOO\r\n\r\nMAIL FROM:<\"a b\"@c.example> SIZE=3\r\nRCPT TO:<@x:a@b>\r\nRCPT TO:<é@b>\r\nDATA\r\n.\r\nQUIT\r\nNOOP\r\n",
        untilData + "a\nb\r\n.\r\nNOOP\r\n",
        untilData + "a\rb\r\n.\r\nNOOP\r\n",
        untilData + ".\nNOOP\r\n",
        "EHLO a\nMAIL FROM:<a@b>\r\n",
        "EHLO a\rNOOP\r\n",
        "NOOP " + String(repeating: "x", count: 3000) + "\r\nNOOP\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ])
    func theSameHappensWhereverTheInputIsSplit(client: String) {
        let bytes = Array(client.utf8)
        let whole = play(client)

        var single = SessionDriver()
        for byte in bytes { single.feed([byte]) }
        #expect(single.record == whole)
        for split in 1..<bytes.count {
            var driver = SessionDriver()
            driver.feed(Array(bytes[..<split]))
            driver.feed(Array(bytes[split...]))
            #expect(driver.record == whole, "split at \(split)")
        }
    }

    @Test func theClockKnowsWhatIsWaitedFor() {
        var driver = SessionDriver()
        #expect(driver.session.waitsFor == .command(number: 0))
        driver.feed("EHLO a")
        #expect(driver.session.waitsFor == .command(number: 0))
        driver.feed("\r\n")
        #expect(driver.session.waitsFor == .command(number: 1))
        driver.feed("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
        #expect(driver.session.waitsFor == .content)
        driver.feed(".\r\nQUIT\r\n")
        #expect(driver.session.waitsFor == .nothing)
    }

    @Test func aTimeoutEndsTheSession() {
        var driver = SessionDriver()
        driver.session.timedOut()
        driver.run()

        #expect(driver.record.codes == ["220", "421"])
        #expect(driver.record.isClosed)
    }

    @Test func aTimeoutInTheContentAbandonsTheMessage() {
        var driver = SessionDriver()
        driver.feed(untilData + "half")
        driver.session.timedOut()
        driver.run()

        #expect(driver.record.codes.last == "421")
        #expect(driver.record.abandoned == 1)
        #expect(driver.record.isClosed)
    }

    @Test func whatWasSentBeforeTheEndOfInputIsCarriedOut() {
        var driver = SessionDriver()
        driver.session.inputEnded()
        driver.feed(untilData + "x\r\n.\r\nNOOP\r\nNOOP")

        #expect(driver.record.messages == ["x\r\n"])
        #expect(driver.record.codes.suffix(2) == ["250", "250"])
        #expect(driver.record.isClosed)
    }

    @Test func theEndOfInputInTheContentAbandonsTheMessage() {
        var driver = SessionDriver()
        driver.feed(untilData + "x\r\n.")
        driver.session.inputEnded()
        driver.run()

        #expect(driver.record.abandoned == 1)
        #expect(driver.record.messages.isEmpty)
        #expect(driver.record.isClosed)
    }

    @Test func aStopWaitsForTheContentOnly() {
        var driver = SessionDriver()
        driver.feed(untilData + "x\r\n")
        driver.session.end(with: SMTPReply(421, "4.3.2", "Stopping"))
        driver.run()
        #expect(!driver.record.isClosed)
        driver.feed(".\r\nNOOP\r\n")

        #expect(driver.record.codes.suffix(3) == ["354", "250", "421"])
        #expect(driver.record.messages == ["x\r\n"])
        #expect(driver.record.isClosed)
    }

    @Test func aStopEndsATransactionWithoutContent() {
        var driver = SessionDriver()
        driver.feed("EHLO a\r\nMAIL FROM:<a@b.example>\r\n")
        driver.session.end(with: SMTPReply(421, "4.3.2", "Stopping"))
        driver.run()

        #expect(driver.record.codes.last == "421")
        #expect(driver.record.isClosed)
    }
}
