// ETRN in a session: its place among the commands, its question, its answer.

import DispatchSockets
import Testing

@testable import SMTPServer

@Suite struct SMTPSessionETRNTests {
    private let hello = "EHLO client.example\r\n"

    @Test func everyReplyOfASessionThatAsks() {
        let record = play("\(hello)ETRN site.example\r\nHELP\r\nQUIT\r\n", offer: [.mail, .etrn])

        #expect(
            record.output == """
                220 mail.example ESMTP\r
                250-mail.example\r
                250-PIPELINING\r
                250-SIZE 10240000\r
                250-8BITMIME\r
                250-ETRN\r
                250 ENHANCEDSTATUSCODES\r
                250 OK, queuing for node site.example started\r
                214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA RSET NOOP VRFY ETRN HELP QUIT\r
                221 2.0.0 mail.example closing connection\r

                """)
        #expect(record.isClosed)
    }

    @Test func aServerWithoutIntakeTakesNoMail() {
        let record = play(
            "\(hello)MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nVRFY c\r\nHELP\r\nETRN site.example\r\nDATA\r\n", offer: .etrn)

        #expect(
            record.output == """
                220 mail.example ESMTP\r
                250-mail.example\r
                250-PIPELINING\r
                250-ETRN\r
                250 ENHANCEDSTATUSCODES\r
                502 5.5.1 This server takes no mail\r
                503 5.5.1 Give a MAIL command first\r
                502 5.5.1 VRFY not implemented\r
                214 2.0.0 Commands: HELO EHLO RSET NOOP ETRN HELP QUIT\r
                250 OK, queuing for node site.example started\r
                503 5.5.1 Give MAIL and RCPT commands first\r

                """)
    }

    @Test func theContentOfARefusedMailIsNotReadAsCommands() {
        let record = play("\(hello)MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nETRN site.example\r\n.\r\n", offer: .etrn) {
            $0.answerETRN = { _ in SMTPReply(250, nil, "never") }
        }

        #expect(record.codes == ["220", "250", "502", "503", "503", "421"])
        #expect(record.isClosed)
    }

    /// What comes before, the command, and its reply; the rows are in the order of the checks.
    @Test(arguments: [
        ("", "ETRN site.example", "503 5.5.1 Say HELO or EHLO first"),
        ("", "ETRN", "503 5.5.1 Say HELO or EHLO first"),
        ("EHLO a\r\nMAIL FROM:<a@b.example>\r\n", "ETRN site.example", "503 5.5.1 ETRN cannot come in a mail transaction"),
        ("EHLO a\r\nMAIL FROM:<a@b.example>\r\n", "ETRN a b", "503 5.5.1 ETRN cannot come in a mail transaction"),
        ("EHLO a\r\n", "ETRN", "500 Syntax Error"),
        ("EHLO a\r\n", "ETRN    ", "500 Syntax Error"),
        ("EHLO a\r\n", "ETRN a.example b.example", "500 Syntax Error"),
        ("EHLO a\r\n", "ETRN @ a.example", "500 Syntax Error"),
        ("EHLO a\r\n", "ETRN bücher.example", "501 Syntax Error in Parameters"),
        ("EHLO a\r\n", "ETRN\tsite.example", "500 5.5.2 Control character in the command"),
        ("EHLO a\r\n", "ETRN site.example\u{0}", "500 5.5.2 Control character in the command"),
        ("EHLO a\r\n", "ETRNsite.example", "500 5.5.2 Command not recognized"),
        ("EHLO a\r\n", "etrn   SITE.example   ", "250 OK, queuing for node SITE.example started"),
        ("HELO a\r\n", "ETRN @site.example", "250 OK, queuing for node @site.example started"),
        ("EHLO a\r\nMAIL FROM:<a@b.example>\r\nRSET\r\n", "Etrn #ships", "250 OK, queuing for node #ships started"),
        // Not a node, but no line of its own either: what is no domain is the handler's to say.
        ("EHLO a\r\n", "ETRN 250-x", "250 OK, queuing for node 250-x started"),
    ])
    func theChecksComeInThisOrder(before: String, command: String, reply: String) {
        var driver = SessionDriver(SMTPLimits(), [.mail, .etrn])
        driver.feed("\(before)\(command)\r\n")

        #expect(driver.record.output.lines.last.map(String.init) == reply)
        #expect(driver.nodes.count == (reply.hasPrefix("250") ? 1 : 0))
        #expect(!driver.record.isClosed)
    }

    @Test func withoutAHandlerThereIsNoSuchCommand() {
        let record = play("\(hello)ETRN site.example\r\n")

        #expect(!record.output.contains("250-ETRN"))
        #expect(record.output.hasSuffix("502 5.5.1 ETRN not implemented\r\n"))
    }

    @Test func whatIsPipelinedWaitsForTheAnswer() {
        var driver = SessionDriver(SMTPLimits(), [.mail, .etrn])
        driver.answerETRN = { _ in nil }
        driver.feed("\(hello)ETRN one.example\r\nETRN two.example\r\nNOOP\r\nQUIT\r\n")

        #expect(driver.record.codes == ["220", "250"])
        #expect(driver.session.waitsFor == .etrn(number: 1))
        driver.session.etrnAnswered(SMTPReply(251, nil, "one"), number: 1)
        driver.run()
        #expect(driver.record.codes == ["220", "250", "251"])
        #expect(driver.nodes == ["one.example", "two.example"])
        #expect(driver.session.waitsFor == .etrn(number: 2))
        driver.session.etrnAnswered(SMTPReply(253, nil, "two"), number: 2)
        driver.run()

        #expect(driver.record.codes == ["220", "250", "251", "253", "250", "221"])
        #expect(driver.record.isClosed)
    }

    @Test func anAnswerThatTakesTooLongIs458AndTheSessionGoesOn() {
        var driver = SessionDriver(SMTPLimits(), .etrn)
        driver.answerETRN = { _ in nil }
        driver.feed("\(hello)ETRN one.example\r\nETRN two.example\r\n")

        driver.session.timedOut()
        driver.run()
        // Too late, and to another question than the open one.
        driver.session.etrnAnswered(SMTPReply(250, nil, "late"), number: 1)
        driver.run()
        #expect(driver.record.codes == ["220", "250", "458"])
        driver.session.etrnAnswered(SMTPReply(251, nil, "two"), number: 2)
        driver.run()
        driver.session.etrnAnswered(SMTPReply(250, nil, "again"), number: 2)
        driver.feed("NOOP\r\n")

        #expect(driver.record.output.hasSuffix("458 Unable to queue messages for node one.example\r\n251 two\r\n250 2.0.0 OK\r\n"))
    }

    @Test func permanentRefusalsEndTheSessionAndTransientOnesDoNot() {
        let refused = play(hello + String(repeating: "ETRN -x\r\n", count: 50), offer: .etrn) {
            $0.answerETRN = { _ in SMTPReply(501, nil, "Syntax Error in Parameters") }
        }
        #expect(refused.codes.filter { $0 == "501" }.count == 20)
        #expect(refused.codes.last == "421")

        let later = play(hello + String(repeating: "ETRN x\r\n", count: 50), offer: .etrn) { $0.answerETRN = { _ in SMTPReply(459, nil, "No") } }
        #expect(later.codes.filter { $0 == "459" }.count == 50)
        #expect(!later.isClosed)
    }

    @Test func aThousandAtOnceAreTooMany() {
        let record = play(hello + String(repeating: "ETRN site.example\r\n", count: 1000), offer: [.mail, .etrn])

        #expect(record.codes.count == 102)
        #expect(record.codes.filter { $0 == "250" }.count == 100)
        #expect(record.output.hasSuffix("421 4.7.0 mail.example Too many commands without a message, closing connection\r\n"))
        #expect(record.isClosed)
    }

    @Test func inAContentItIsText() {
        var driver = SessionDriver(SMTPLimits(), [.mail, .etrn])
        driver.feed(untilData + "ETRN site.example\r\n.\r\nETRN site.example\r\n")

        #expect(driver.record.messages == ["ETRN site.example\r\n"])
        #expect(driver.nodes == ["site.example"])
    }

    @Test(arguments: ["ETRN site.example\nNOOP\r\n", "ETRN site.example\rNOOP\r\n", "ETRN site.example\r\r\n"])
    func aBareLineEndEndsTheSession(line: String) {
        var driver = SessionDriver(SMTPLimits(), .etrn)
        driver.feed(hello + line + "ETRN site.example\r\n")

        #expect(driver.record.codes == ["220", "250", "500"])
        #expect(driver.nodes.isEmpty && driver.record.isClosed)
    }

    @Test func anOverlongArgumentIsNoArgument() {
        let record = play(hello + "ETRN " + String(repeating: "x", count: 5000) + "\r\nNOOP\r\n", offer: .etrn)

        #expect(record.output.hasSuffix("500 5.5.2 Line too long: at most 2048 bytes\r\n250 2.0.0 OK\r\n"))
    }

    @Test func theReplyIsOneLineWhateverTheArgument() {
        let long = String(repeating: "x", count: 2000)
        let record = play("\(hello)ETRN \(long)\r\n", offer: .etrn)

        #expect(record.output.lines.last?.utf8.count == 510)
        #expect(record.codes == ["220", "250", "250"])
    }

    @Test func theSameHappensWhereverTheInputIsSplit() {
        let client = Array("EHLO a\r\nETRN @site.example\r\nETRN\r\nETRN a b\r\nMAIL FROM:<a@b.example>\r\nETRN x\r\nQUIT\r\n".utf8)
        var whole = SessionDriver(SMTPLimits(), [.mail, .etrn])
        whole.feed(client)

        for split in 1..<client.count {
            var driver = SessionDriver(SMTPLimits(), [.mail, .etrn])
            driver.feed(Array(client[..<split]))
            driver.feed(Array(client[split...]))
            #expect(driver.record == whole.record && driver.nodes == whole.nodes, "split at \(split)")
        }
    }

    @Test func aDisconnectLeavesNothingToAnswer() {
        var driver = SessionDriver(SMTPLimits(), .etrn)
        driver.answerETRN = { _ in nil }
        driver.feed("\(hello)ETRN one.example\r\nNOOP\r\n")
        driver.session.disconnected()
        driver.session.etrnAnswered(SMTPReply(250, nil, "late"), number: 1)
        driver.run()

        #expect(driver.record.codes == ["220", "250"])
        #expect(driver.session.waitsFor == .nothing)
    }

    @Test func aStopWaitsForTheAnswer() {
        var driver = SessionDriver(SMTPLimits(), .etrn)
        driver.answerETRN = { _ in nil }
        driver.feed("\(hello)ETRN one.example\r\nETRN two.example\r\n")
        driver.session.end(with: SMTPReply(421, "4.3.2", "Stopping"))
        driver.run()
        driver.session.etrnAnswered(SMTPReply(251, nil, "one"), number: 1)
        driver.run()

        #expect(driver.record.codes == ["220", "250", "251", "421"])
        #expect(driver.nodes == ["one.example"] && driver.record.isClosed)
    }
}
