// SMTP: a session goes the same way wherever the network cuts it, keeps its bounds, and never takes a message that it should not.

import DispatchSockets

@testable import SMTPServer

enum SMTPSessionProperties {
    /// Small, so that short inputs reach every bound; lines that never end need longer ones than inputs are.
    private static let limits: SMTPLimits = {
        var limits = SMTPLimits()
        limits.maximumLine = 256
        limits.maximumMessageSize = 600
        limits.maximumRecipients = 3
        limits.maximumCommands = 30
        limits.maximumErrors = 8
        limits.contentChunk = 64
        return limits
    }()

    private enum Event: Equatable {
        case reply(String)
        case begin([String])
        case append([UInt8])
        case commit
        case abandon
        case close
    }

    static func check(_ input: [UInt8]) throws {
        let pieces = Pieces(input)
        let whole = try run(pieces.whole)
        for cut in [pieces.chosen, pieces.singly] { try requireSame(whole, try run(cut)) }
    }

    /// What stands behind a refused DATA ends the session when it is there already; only this may depend on the time.
    private static func requireSame(_ one: [Event], _ other: [Event]) throws {
        for index in 0..<max(one.count, other.count) {
            let pair = [one, other].map { index < $0.count ? $0[index] : nil }
            if pair[0] == pair[1] { continue }
            let isTiming = pair.contains { if case .reply(let text)?? = $0 as Event?? { text.contains("Input after a refused DATA") } else { false } }
            if isTiming { return }
            throw Violation(description: "event \(index) depends on the cuts: \(pair)\nafter \(one.prefix(index))")
        }
    }

    private static func run(_ pieces: [[UInt8]]) throws -> [Event] {
        var session = SMTPSession(
            hostname: "mx.example", peer: Peer(address: .ipv4(0x7f00_0001, port: 25)), limits: limits, offer: [.mail, .etrn])
        var driver = Driver()
        try driver.drain(&session)
        for piece in pieces where !driver.isClosed {
            session.receive(piece.span.bytes)
            try driver.drain(&session)
            try require(session.input.count <= limits.maximumLine + piece.count + 2, "\(session.input.count) bytes wait unused")
        }
        session.inputEnded()
        try driver.drain(&session)
        try require(driver.isClosed && !driver.hasWriter, "the input has ended and the session has not")
        let lines = pieces.reduce(0) { $0 + $1.count { $0 == UInt8(ascii: "\n") } }
        try require(driver.replies <= 2 * lines + 4, "\(driver.replies) replies to \(lines) lines")
        return driver.events
    }

    /// Carries out the steps; its intake refuses what has certain words in it.
    private struct Driver {
        var events: [Event] = []
        var isClosed = false
        var hasWriter = false
        var replies = 0
        private var content: [UInt8] = []

        mutating func drain(_ session: inout SMTPSession) throws {
            while let step = session.next() {
                try require(!isClosed, "a step after the last one: \(step)")
                switch step {
                case .reply(let reply, let verb):
                    replies += 1
                    try SMTPReplyProperties.checkWire(reply.rendered)
                    events.append(.reply("\(verb): \(String(decoding: reply.rendered, as: UTF8.self))"))
                case .checkSender(let path, let size):
                    try SMTPPathProperties.checkPath(path)
                    try require(size ?? 0 <= limits.maximumMessageSize, "a declared size of \(size ?? 0)")
                    session.answered(refusal(of: path))
                case .checkRecipient(let path):
                    try SMTPPathProperties.checkPath(path)
                    try require(!path.isNull, "a recipient that is nobody")
                    session.answered(refusal(of: path))
                case .etrn(let node, let number):
                    try require(!node.isEmpty && node.utf8.allSatisfy { (0x21...0x7e).contains($0) }, "ETRN \(node.debugDescription)")
                    let code = node.hasPrefix("#") ? 458 : node.hasPrefix("@") ? 459 : 250
                    session.etrnAnswered(SMTPReply(code, nil, "answer for \(node)"), number: number)
                default: try carry(step, &session)
                }
            }
        }

        private mutating func carry(_ step: SMTPStep, _ session: inout SMTPSession) throws {
            switch step {
            case .begin(let envelope):
                try require(!hasWriter, "a message begins within another")
                try require((1...limits.maximumRecipients).contains(envelope.recipients.count), "\(envelope.recipients.count) recipients")
                events.append(.begin([envelope.sender.mailbox] + envelope.recipients.map(\.mailbox)))
                let refusal = envelope.recipients.count == 3 ? SMTPReply(452, "4.3.1", "no room for three") : nil
                hasWriter = refusal == nil
                content = []
                session.answered(refusal)
            case .append(let bytes):
                try require(hasWriter && !bytes.isEmpty && bytes.count <= limits.contentChunk, "\(bytes.count) bytes of content")
                content += bytes
                try require(content.count <= limits.maximumMessageSize, "a message of \(content.count) bytes")
                events.append(.append(bytes))
                session.answered(bytes.contains(1) ? SMTPReply(452, "4.3.1", "byte 1 is too much") : nil)
            case .commit:
                try require(hasWriter && SMTPSessionProperties.hasWholeLines(content), "content with strange line ends: \(content)")
                hasWriter = false
                events.append(.commit)
                session.committed(content.count % 7 == 3 ? SMTPReply(451, "4.3.0", "not today") : SMTPReply(250, "2.0.0", "queued"))
            case .abandon:
                try require(hasWriter, "no message to abandon")
                hasWriter = false
                events.append(.abandon)
            case .close:
                isClosed = true
                events.append(.close)
            default: throw Violation(description: "an unknown step \(step)")
            }
        }

        private func refusal(of path: SMTPPath) -> SMTPReply? {
            if path.mailbox.contains("bad") { return SMTPReply(550, "5.1.1", "nobody of that name") }
            return path.mailbox.contains("slow") ? SMTPReply(451, "4.3.0", "later") : nil
        }
    }

    /// Every line ended with CR LF, and no CR or LF anywhere else.
    static func hasWholeLines(_ content: [UInt8]) -> Bool {
        var previous = UInt8(ascii: "\n")
        for byte in content {
            if (previous == UInt8(ascii: "\r")) != (byte == UInt8(ascii: "\n")) { return false }
            previous = byte
        }
        return previous == UInt8(ascii: "\n")
    }
}

enum SMTPPathProperties {
    static func check(_ input: [UInt8]) throws {
        let text = String(decoding: input, as: UTF8.self)
        if let path = SMTPPath(text) { try checkPath(path) }
        var scanner = PathScanner(input[...])
        if let path = try? scanner.bracketedPath() {
            try checkPath(path)
            try require(scanner.rest.endIndex == input.endIndex, "the scanner lost its place")
        }
        // A command line that is accepted names a path that is accepted.
        if let arguments = try? SMTPArguments.mail(input[...]) { try checkPath(arguments.sender) }
        if let recipient = try? SMTPArguments.recipient(input[...]) { try checkPath(recipient) }
    }

    static func checkPath(_ path: SMTPPath) throws {
        try require(path.mailbox.utf8.count <= SMTPPath.maximumLength, "a path of \(path.mailbox.utf8.count) bytes")
        try require(path.mailbox.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "a path that is not printable: \(path)")
        try require(path.localPart.utf8.count <= SMTPPath.maximumLocalPart, "a local part beyond its bound")
        if let domain = path.domain {
            try require((1...SMTPPath.maximumDomain).contains(domain.utf8.count), "a domain beyond its bound")
            try require("\(path.localPart)@\(domain)", equals: path.mailbox, "the parts are not the whole")
        }
        try require(SMTPPath(path.description), equals: path, "a path, and read again from its description")
        guard !path.mailbox.isEmpty else { return }
        try require(SMTPPath(path.mailbox), equals: path, "a path, and read again without brackets")
    }
}

enum SMTPReplyProperties {
    static func check(_ input: [UInt8]) throws {
        let lines = input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        let reply = SMTPReply(code: 200 + input.count % 400, enhanced: input.count.isMultiple(of: 2) ? "2.0.0" : nil, lines: lines)
        try checkWire(reply.rendered)
        try CurlReplyProperties.checkOneReply(reply.rendered, code: reply.code)
        try CurlReplyProperties.check(input)
    }

    /// One reply as the wire has it: lines of a code and printable text, all but the last with a hyphen.
    static func checkWire(_ bytes: [UInt8]) throws {
        try require(SMTPSessionProperties.hasWholeLines(bytes), "a reply with strange line ends")
        let lines = bytes.split(separator: UInt8(ascii: "\n"))
        try require((1...SMTPReply.maximumLines).contains(lines.count), "\(lines.count) reply lines")
        for (index, line) in lines.enumerated() {
            try require(line.count + 1 <= SMTPReply.maximumLine, "a reply line of \(line.count + 1) bytes")
            let text = line.dropLast()
            try require(text.allSatisfy { (0x20...0x7e).contains($0) }, "a reply that is not printable")
            try require(
                text.prefix(3).allSatisfy { (0x30...0x39).contains($0) } && text.prefix(3) == lines[0].prefix(3), "a reply with several codes")
            let mark = text.dropFirst(3).first
            try require(index < lines.count - 1 ? mark == UInt8(ascii: "-") : mark != UInt8(ascii: "-"), "a reply that ends too early or too late")
        }
    }
}
