// The client's side of SMTP: replies of any server, and content on its way to one.

@testable import CurlTransport
@testable import SMTPServer

enum CurlReplyProperties {
    static func check(_ input: [UInt8]) throws {
        let (replies, _) = read(input)
        for reply in replies {
            try require((200...599).contains(reply.code), "a reply code \(reply.code)")
            try require((1...ReplyReader.maximumLines).contains(reply.lines.count), "\(reply.lines.count) lines")
            for line in reply.lines {
                // A byte that is no UTF-8 becomes three.
                try require(line.utf8.count <= 3 * ReplyReader.maximumLineLength, "a line of \(line.utf8.count) bytes")
                try require(!line.utf8.contains(UInt8(ascii: "\n")), "a line end in a line")
            }
            let written = reply.lines.map { "\($0)\r\n" }.joined()
            // What was cut is shorter when it comes back, and what was no UTF-8 longer.
            guard written.utf8.count < ReplyReader.maximumLineLength, input.allSatisfy({ $0 < 0x80 }) else { continue }
            try require(read(Array(written.utf8)).replies, equals: [reply], "a reply, and read again")
        }
        let greeting = replies.map { CurlExchange(step: .hello, code: $0.code, lines: $0.lines) }
        let offered = MailCapabilities(openedBy: greeting)
        try require(MailCapabilities(openedBy: Array(greeting.suffix(1))), equals: offered, "only the last answer counts")
    }

    /// What the SMTP server writes is one reply for the client.
    static func checkOneReply(_ bytes: [UInt8], code: Int) throws {
        let (replies, isMalformed) = read(bytes)
        try require(!isMalformed && replies.count == 1 && replies[0].code == code, "our own reply is read as \(replies)")
    }

    private static func read(_ bytes: [UInt8]) -> (replies: [ReplyReader.Reply], isMalformed: Bool) {
        var reader = ReplyReader()
        var replies: [ReplyReader.Reply] = []
        for byte in bytes {
            do { if let reply = try reader.take(byte) { replies.append(reply) } } catch { return (replies, true) }
        }
        return (replies, false)
    }
}

enum DotStuffingProperties {
    static func check(_ input: [UInt8]) throws {
        let pieces = Pieces(input)
        let wire = try pieces.sameEveryWay { pieces in
            var stuffer = DotStuffer()
            var output: [UInt8] = []
            for piece in pieces { stuffer.encode(piece, into: &output) }
            stuffer.finish(into: &output)
            return output
        }
        // What is sent must look like content to any server, and a CR that stands alone to none: the spool lets none in.
        guard !hasBareReturn(pieces.bytes) else { return }
        var reader = ContentReader()
        var buffer = InputBuffer()
        buffer.append((wire + Array("QUIT\r\n".utf8)).span.bytes)
        let outcome = reader.read(from: &buffer, chunk: wire.count + 2)
        try require(outcome, equals: .end, "the content has no end, or a line end of its own")
        try require(Array(buffer.unread), equals: Array("QUIT\r\n".utf8), "the content ends in the wrong place")
        try require(reader.decoded, equals: withWholeLines(pieces.bytes), "what arrives is not what was sent")
    }

    private static func hasBareReturn(_ bytes: [UInt8]) -> Bool {
        bytes.indices.contains { bytes[$0] == UInt8(ascii: "\r") && ($0 + 1 == bytes.count ? false : bytes[$0 + 1] != UInt8(ascii: "\n")) }
    }

    private static func withWholeLines(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        for byte in bytes {
            if byte == UInt8(ascii: "\n"), result.last != UInt8(ascii: "\r") { result.append(UInt8(ascii: "\r")) }
            result.append(byte)
        }
        if result.last == UInt8(ascii: "\r") { result.append(UInt8(ascii: "\n")) }
        if let last = result.last, last != UInt8(ascii: "\n") { result += Array("\r\n".utf8) }
        return result
    }
}
