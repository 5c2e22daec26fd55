// Everything that a Postfix says to us: its programs' requests, its queue files, its defer logs, its mail log.

import FlushCore

@testable import PostfixQueue

enum PostfixRequestProperties {
    private enum Outcome: Equatable {
        case waiting
        case list(AttributeList)
        case trigger(UInt8)
        case refused
    }

    static func check(_ input: [UInt8]) throws {
        let pieces = Pieces(input)
        guard case .list(let list) = try pieces.sameEveryWay(read) else { return }
        try require(list.attributes.count <= AttributeListParser.maximumAttributes, "\(list.attributes.count) attributes")
        try require(list.encoded.count <= AttributeListParser.maximumBytes, "a list of \(list.encoded.count) bytes")
        try require(pieces.bytes.starts(with: list.encoded), "a list that did not come like this")
        try require(try read([list.encoded]), equals: .list(list), "a list, and read again")
        try checkRequest(list)
    }

    private static func read(_ pieces: [[UInt8]]) throws -> Outcome {
        var parser = AttributeListParser()
        for piece in pieces {
            switch parser.take(piece.span.bytes) {
            case .more: continue
            case .complete(let list): return .list(list)
            case .trigger(let byte): return .trigger(byte)
            case .refused: return .refused
            }
        }
        return .waiting
    }

    private static func checkRequest(_ list: AttributeList) throws {
        guard let (request, hasMore) = try? FlushProtocolRequest.parse(list) else { return }
        let written: AttributeList
        switch request {
        case .add(let site, let id): written = AttributeList(["request": "add", "site": site, "queue_id": id])
        case .sendSite(let site): written = AttributeList(["request": "send_site", "site": site])
        case .sendFile(let id): written = AttributeList(["request": "send_file", "queue_id": id])
        case .refresh: written = AttributeList(["request": "rfrsh"])
        case .purge: written = AttributeList(["request": "purge"])
        }
        try require(Array(list.attributes.prefix(written.attributes.count)), equals: written.attributes, "a request, and written again")
        try require(hasMore, equals: list.attributes.count > written.attributes.count, "whether there is more")
    }
}

enum QueueFileProperties {
    private enum Outcome: Equatable {
        case file(QueueFile)
        case failure(String)
    }

    static func check(_ input: [UInt8]) throws {
        let whole = try read(input, size: input.count, atOnce: .max)
        // Neither whether the size is known nor how the file system hands out the bytes may matter.
        try require(whole, equals: try read(input, size: .max, atOnce: .max), "with the size and without")
        guard case .file(let file) = whole else { return }
        try require(whole, equals: try read(input, size: .max, atOnce: 16 + input.count % 251), "at once and in small reads")

        try require(file.recipients.count <= QueueFile.maximumRecipients, "\(file.recipients.count) recipients")
        try require(file.size >= 0 && file.arrival >= Timestamp(seconds: 0), "an impossible size or time")
        try require(file.hasDone, equals: file.recipients.contains { !$0.isPending }, "whether one is done")
    }

    private static func read(_ bytes: [UInt8], size: Int, atOnce: Int) throws -> Outcome {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: QueueRecords.bufferSize, alignment: 16)
        defer { memory.deallocate() }
        nonisolated(unsafe) var reads = 0
        var records = QueueRecords(buffer: memory, size: size) { target, offset in
            reads += 1
            guard offset >= 0, offset < bytes.count else { return 0 }
            let count = min(target.count, bytes.count - offset, atOnce)
            bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + count)])) }
            return count
        }
        let outcome: Outcome
        do throws(QueueFileError) { outcome = .file(try QueueFile(&records)) } catch {
            try requirePlain(error.description, "an error")
            outcome = .failure(error.description)
        }
        // Two windows for each jump and each record that does not fit, in reads of so many bytes.
        let windows = 4 * (QueueRecords.maximumJumps + bytes.count + 2)
        try require(reads <= windows * (atOnce == .max ? 2 : QueueRecords.bufferSize / atOnce + 2), "\(reads) reads of \(bytes.count) bytes")
        return outcome
    }
}

enum QuotedAddressProperties {
    static func check(_ input: [UInt8]) throws {
        let text = input.withUnsafeBytes(QuotedAddress.text)
        // One that needs no quotes.
        if text == String(decoding: input, as: UTF8.self) { return }
        try require(text.utf8.first == UInt8(ascii: "\""), "another address, and not in quotes: \(text.debugDescription)")
        // Taken apart as RFC 5322 has it, it is the bare address.
        var bare: [UInt8] = []
        var rest = Array(text.utf8)[1...]
        while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
            if byte == UInt8(ascii: "\\") { bare += rest.popFirst().map { [$0] } ?? [] } else { bare.append(byte) }
        }
        let address = String(decoding: bare + rest, as: UTF8.self)
        try require(address, equals: String(decoding: input, as: UTF8.self), "unquoted")
    }
}

enum DeferLogProperties {
    static func check(_ input: [UInt8]) throws {
        let log = DeferLog(input)
        let lines = input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).count
        try require(log.entries.count <= lines / 2 + 1, "\(log.entries.count) entries in \(lines) lines")
        for entry in log.entries {
            try requirePlain(entry.reason, "a reason")
            try require(entry.reason.utf8.count <= DeferLog.maximumReason, "a reason of \(entry.reason.utf8.count) bytes")
        }
        try require(Set(log.reasons.keys), equals: Set(log.entries.map(\.recipient)), "whose reasons they are")
        let written = log.entries.map { "recipient=\($0.recipient)\n\($0.isReply ? "diag_type=smtp\n" : "")reason=\($0.reason)\n\n" }.joined()
        try require(DeferLog(Array(written.utf8)).entries, equals: log.entries, "written and read again")
    }
}

enum MailLogProperties {
    static func check(_ input: [UInt8]) throws {
        let pieces = Pieces(input)
        for bytes in pieces.bytes.split(separator: UInt8(ascii: "\n")) { try checkLine(String(decoding: bytes, as: UTF8.self)) }
        try checkReader(pieces)
    }

    private static func checkLine(_ text: String) throws {
        guard let line = MailLogLine(text) else { return }
        try requirePlain(line.text, "what a server said")
        try require(line.text.utf8.count <= DeferLog.maximumReason, "a text of \(line.text.utf8.count) bytes")
        // Beyond ASCII a bracket may be one character with what stands beside it.
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else { return }
        let status =
            switch line.status {
            case .removed: "removed"
            case .sent: "to=<\(line.recipient)>, relay=none, status=sent (\(line.text))"
            case .bounced: "to=<\(line.recipient)>, relay=none, status=bounced (\(line.text))"
            case .deferred: "to=<\(line.recipient)>, relay=none, status=deferred (\(line.text))"
            }
        try require(MailLogLine("postfix/smtp[1]: \(line.id): \(status)"), equals: line, "a line, and written again")
    }

    /// Whatever is appended, and however: every line comes once and whole.
    private static func checkReader(_ pieces: Pieces) throws {
        let appended = Array(pieces.chosen.prefix(maximumAppends))
        var lines: [String] = []
        try ScratchFolder.withFile { path in
            try ScratchFolder.append([], to: path)
            var reader = LogReader(path: path)
            for piece in appended {
                try ScratchFolder.append(piece, to: path)
                try require(reader.read { lines.append($0) }, "the log is there")
            }
        }
        let expected = appended.flatMap { $0 }.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast()
            .filter { $0.count <= LogReader.maximumLine }.map { String(decoding: $0, as: UTF8.self) }
        try require(lines, equals: expected, "the lines of a log that grew in pieces")
    }

    /// Each costs a few system calls.
    private static let maximumAppends = 32
}
