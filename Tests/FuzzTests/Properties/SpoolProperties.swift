// The spool's files: damage is noticed, and what is accepted survives being written again.

import DiskPort

@testable import FlushCore
@testable import FlushStorage
@testable import SpoolQueue

enum SpoolFileProperties {
    private static let id = QueueID("6aZ1b2C3d4E")

    static func check(_ input: [UInt8]) throws {
        guard let id else { return }
        _ = try read(input, id)
        // The checksum keeps nearly every input out; behind it is the syntax of the envelope.
        let (lines, states) = split(input)
        let file = sealed(lines, states)
        guard let (envelope, layout) = try read(file, idInLines(lines) ?? id) else { return }
        try require(envelope.recipients.count == states.count && layout.content <= file.count, "an impossible layout")
        try require(layout.content <= SpoolFile.maximumHead, "a head of \(layout.content) bytes")
        try checkWrittenAgain(envelope)
        try checkFlips(file, layout.content, envelope)
    }

    /// An input is the lines of an envelope, and behind the last empty line the status bytes.
    private static func split(_ input: [UInt8]) -> (lines: ArraySlice<UInt8>, states: ArraySlice<UInt8>) {
        let feed = UInt8(ascii: "\n")
        for index in input.indices.dropLast().reversed() where input[index] == feed && input[index + 1] == feed {
            return (input[...index], input[(index + 2)...])
        }
        return (input[...], [])
    }

    private static func idInLines(_ lines: ArraySlice<UInt8>) -> QueueID? {
        let line = lines.split(separator: UInt8(ascii: "\n")).last { $0.starts(with: "id ".utf8) }
        return line.flatMap { QueueID(String(decoding: $0.dropFirst(3), as: UTF8.self)) }
    }

    /// A file with an empty content whose first line is right.
    private static func sealed(_ lines: ArraySlice<UInt8>, _ states: ArraySlice<UInt8>) -> [UInt8] {
        let body = Array(lines) + Array("status ".utf8)
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in body { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        func padded(_ text: String, _ width: Int) -> String { String(repeating: "0", count: max(0, width - text.count)) + text }
        let status = SpoolFile.firstLineLength + body.count
        let content = status + states.count + 2
        let first = "etrnd-spool 1 \(padded("\(status)", 10)) \(padded("\(content)", 10)) \(padded(String(hash, radix: 16), 16))\n"
        return Array(first.utf8) + body + states + Array("\n\n".utf8)
    }

    private static func read(_ bytes: [UInt8], _ id: QueueID) throws -> (SpoolEnvelope, SpoolFile.Layout)? {
        do throws(SpoolError) {
            let layout = try SpoolFile.layout(bytes, fileSize: bytes.count)
            // A file grows by its content, which is never read here.
            let size = bytes.count - layout.content
            let envelope = try SpoolFile.envelope(bytes, layout: layout, id: id, fileSize: layout.content + size)
            return (envelope, layout)
        } catch {
            try requirePlain(error.description, "an error")
            return nil
        }
    }

    private static func checkWrittenAgain(_ envelope: SpoolEnvelope) throws {
        guard let (once, layout) = try read(SpoolFile.head(of: envelope) + [UInt8](repeating: 0, count: envelope.size), envelope.id) else {
            throw Violation(description: "an envelope that is not read again: \(envelope)")
        }
        let head = SpoolFile.head(of: once)
        try require(head.count, equals: layout.content, "the length of the head")
        // The first time may have cut what is too long, and taken out control characters.
        guard let (twice, _) = try read(head + [UInt8](repeating: 0, count: envelope.size), envelope.id) else {
            throw Violation(description: "an envelope that is not read a second time: \(once)")
        }
        try require(twice, equals: once, "an envelope, and written again")
        try require(once.recipients.map(\.status), equals: envelope.recipients.map(\.status), "the states")
    }

    /// No single bit of the head can change and leave a file that is taken for a good one.
    private static func checkFlips(_ file: [UInt8], _ head: Int, _ envelope: SpoolEnvelope) throws {
        // The line ends behind the status bytes are checked as these are; a few places of a long head stand for all.
        let step = max(1, head / 64)
        for position in stride(from: head % step, to: head, by: step) {
            var damaged = file
            damaged[position] ^= 1 << UInt8(position & 7)
            try require(try read(damaged, envelope.id) == nil, "a flipped bit in byte \(position) of \(head) goes unnoticed")
        }
    }
}

enum AttemptNoteProperties {
    static func check(_ input: [UInt8]) throws {
        let notes = AttemptNotes.parse(input)
        try require(notes.count <= input.count { $0 == UInt8(ascii: "\n") } + 1, "\(notes.count) notes")
        let once = AttemptNotes.parse(AttemptNotes.render(notes))
        try require(once.count, equals: notes.count, "how many notes, and written again")
        // The first time may have cut what is too long, and taken out control characters.
        try require(AttemptNotes.parse(AttemptNotes.render(once)), equals: once, "the notes, and written again")
        for note in once { try require((0...Timestamp.latest.microseconds).contains(note.at.microseconds), "a note of \(note.at)") }
        for note in once { try requirePlain(note.recipient + note.text, "a note") }

        let long = [UInt8](repeating: UInt8(ascii: "x"), count: AttemptNotes.maximumBytes - 64) + [UInt8(ascii: "\n")]
        let joined = AttemptNotes.joined(long, input)
        try require(joined.count <= AttemptNotes.maximumBytes, "\(joined.count) bytes of notes")
        try require(joined.suffix(joined.count).elementsEqual((long + input).suffix(joined.count)), "the newest are not kept")
    }
}

enum HopCountProperties {
    static func check(_ input: [UInt8]) throws {
        let pieces = Pieces(input)
        let count = try pieces.sameEveryWay { pieces in
            var counter = HopCounter()
            for piece in pieces { counter.scan(piece) }
            return counter.received
        }
        let lines = pieces.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
            String(decoding: line.filter { $0 != UInt8(ascii: "\r") && $0 < 0x80 }, as: UTF8.self).lowercased()
        }
        // Counted line by line, where no strange byte hides in a name.
        guard pieces.bytes.allSatisfy({ (0x20...0x7e).contains($0) || $0 == UInt8(ascii: "\n") }) else { return }
        let head = lines.prefix { !$0.isEmpty }
        let slow = head.count { line in
            guard line.hasPrefix("received"), let colon = line.firstIndex(of: ":") else { return false }
            return line[..<colon].dropFirst(8).allSatisfy { $0 == " " }
        }
        try require(count, equals: slow, "Received fields")
    }
}

enum DestinationLogProperties {
    static func check(_ input: [UInt8]) throws {
        guard let id = QueueID("4XyZ1") else { return }
        try ScratchFolder.withFile { path in
            try ScratchFolder.append(input, to: path)
            let parts = path.split(separator: "/")
            let folder = try SystemDisk().openFolder("/" + parts.dropLast().joined(separator: "/"))
            let log = LogFile(folder: folder, name: String(parts.last ?? ""))

            let before = try log.read()
            let (ids, skipped) = slowly(input)
            try require(before.ids, equals: ids, "the IDs of the whole lines")
            try require(before.skippedLines, equals: skipped, "the skipped lines")

            // What a kill has torn off is cut off by the next append, and nothing else is.
            try log.append([id])
            try require(try log.read().ids, equals: ids.contains(id) ? ids : ids + [id], "the IDs after an append")

            try log.rewrite(ids, through: "\(log.name).rewrite")
            let rewritten = try log.read()
            try require(rewritten.ids, equals: ids, "the IDs after a rewrite")
            try require(rewritten.skippedLines, equals: 0, "the lines skipped after a rewrite")
        }
    }

    private static func slowly(_ input: [UInt8]) -> (ids: [QueueID], skipped: Int) {
        var lines = input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let rest = lines.removeLast()
        let ids = lines.map { QueueID(String(decoding: $0, as: UTF8.self)) }
        var seen: Set<QueueID> = []
        let each = ids.compactMap { $0 }.filter { seen.insert($0).inserted }
        return (each, ids.count { $0 == nil } + (rest.isEmpty ? 0 : 1))
    }
}
