// The report that a sender gets about mail that could not be delivered (RFC 3464, in the wrapping of RFC 6522).

import FlushCore

/// Writes a `multipart/report`: words for people, fields for programs, and the original's header section.
struct BounceReport: Sendable {
    struct Failure: Sendable, Equatable {
        var recipient: String
        /// The reply, or our own words.
        var reason: String
    }

    /// The original's header section is cut after this many bytes, at a line's end.
    static let maximumHeaders = 32 << 10

    var id: QueueID
    var reporter: String
    var sender: String
    var original: QueueID
    var arrival: Timestamp
    var now: Timestamp
    var failures: [Failure]

    /// The report, with CRLF line ends.
    ///
    /// - Parameter original: the beginning of the original's content.
    func content(original content: [UInt8]) -> [UInt8] {
        let headers = Self.headers(of: content)
        let boundary = "report-\(id)-\(String(now.microseconds, radix: 36))"
        var text = """
            From: Mail Delivery <MAILER-DAEMON@\(reporter)>
            To: \(sender.isEmpty ? "undisclosed-recipients:;" : "<\(sender)>")
            Subject: Your message could not be delivered
            Date: \(MailDate.text(now))
            Message-ID: <\(id)@\(reporter)>
            Auto-Submitted: auto-replied
            MIME-Version: 1.0
            Content-Type: multipart/report; report-type=delivery-status;
            \tboundary="\(boundary)"
            \(headers.contains { $0 >= 0x80 } ? "Content-Transfer-Encoding: 8bit\n" : "")
            --\(boundary)
            Content-Type: text/plain; charset=us-ascii

            This is the mail server at \(reporter).

            A message that you sent did not reach everybody whom it was for. It has been
            given up for the addresses below; no copy of it is kept here. The header of
            your message follows at the end.


            """
        for failure in failures { text += "<\(failure.recipient)>:\n    \(Self.ascii(failure.reason))\n\n" }
        text += """
            --\(boundary)
            Content-Type: message/delivery-status

            Reporting-MTA: dns; \(reporter)
            X-Queue-ID: \(original)
            Arrival-Date: \(MailDate.text(arrival))


            """
        for failure in failures {
            text += "Final-Recipient: rfc822; \(failure.recipient)\nAction: failed\nStatus: \(Self.status(of: failure.reason))\n"
            if let (host, reply) = Self.quoted(failure.reason) {
                // RFC 3464, section 2.3.6: of the type smtp is a reply itself, not our words about it.
                text += "Remote-MTA: dns; \(Self.ascii(host))\nDiagnostic-Code: smtp; \(Self.ascii(reply))\n\n"
            } else {
                text += "Diagnostic-Code: \(Self.isReply(failure.reason) ? "smtp" : "x-etrnd"); \(Self.ascii(failure.reason))\n\n"
            }
        }
        let encoding = headers.contains { $0 >= 0x80 } ? "Content-Transfer-Encoding: 8bit\n" : ""
        text += "--\(boundary)\nContent-Type: text/rfc822-headers\n\(encoding)\n"

        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count + headers.count + 256)
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\n") { bytes.append(UInt8(ascii: "\r")) }
            bytes.append(byte)
        }
        bytes += headers
        bytes += "\r\n--\(boundary)--\r\n".utf8
        return bytes
    }

    /// The header section: complete lines, up to the first empty one.
    static func headers(of content: [UInt8]) -> ArraySlice<UInt8> {
        var end = 0
        var lineStart = 0
        let limit = min(content.count, maximumHeaders)
        while lineStart < limit, let lineEnd = content[lineStart..<limit].firstIndex(of: UInt8(ascii: "\n")) {
            if content[lineStart] == UInt8(ascii: "\r") || content[lineStart] == UInt8(ascii: "\n") { break }
            end = lineEnd + 1
            lineStart = end
        }
        return content[..<end]
    }

    /// The enhanced status code (RFC 3463) of a reply, or the one that fits it best.
    static func status(of reason: String) -> String {
        if reason.hasPrefix("message expired") { return "4.4.7" }
        let words = reason.split(separator: " ")
        for (position, word) in words.enumerated() {
            // At the beginning or behind a reply's code; elsewhere such numbers are versions and other things.
            guard position == 0 || isCode(words[position - 1]) else { continue }
            let parts = word.split(separator: ".", omittingEmptySubsequences: false)
            if parts.count == 3, parts[0] == "5" || parts[0] == "4", parts.dropFirst().allSatisfy(isShortNumber) {
                // A refusal is for good, whatever class the other side wrote into it (RFC 3464, section 2.3.4, follows the action).
                return "5.\(parts[1]).\(parts[2])"
            }
        }
        return "5.0.0"
    }

    private static func isCode(_ word: Substring) -> Bool {
        word.utf8.count == 3 && word.utf8.first == UInt8(ascii: "5") && word.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// The host and the reply in `host mail.example[192.0.2.1]:25 said: 550 no (in reply to RCPT TO command)`.
    static func quoted(_ reason: String) -> (host: String, reply: String)? {
        guard reason.hasPrefix("host "), let said = reason.firstRange(of: " said: ") else { return nil }
        let host = reason[..<said.lowerBound].dropFirst(5).prefix { $0 != "[" && $0 != ":" && $0 != " " }
        var reply = reason[said.upperBound...]
        guard !host.isEmpty, isReply(String(reply)) else { return nil }
        if let end = reply.ranges(of: " (in reply to ").last { reply = reply[..<end.lowerBound] }
        return (String(host), String(reply))
    }

    private static func isShortNumber(_ text: Substring) -> Bool {
        (1...3).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Whether the reason quotes an SMTP reply: a three-digit code that begins with 5.
    static func isReply(_ reason: String) -> Bool {
        reason.split(separator: " ").contains { word in
            let digits = word.utf8.prefix(3)
            return digits.count == 3 && digits.first == UInt8(ascii: "5") && digits.allSatisfy { (0x30...0x39).contains($0) }
                && (word.utf8.count == 3 || word.utf8.dropFirst(3).first == UInt8(ascii: "-"))
        }
    }

    private static func ascii(_ text: String) -> String {
        String(String.UnicodeScalarView(SpoolEnvelope.line(text).unicodeScalars.map { $0.isASCII ? $0 : "?" }))
    }
}
