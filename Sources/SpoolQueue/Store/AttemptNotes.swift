// What the delivery attempts said, as lines of a text file per message.

import FlushCore

/// The notes about one message: `<microseconds> TAB <result> TAB <recipient> TAB <text>` a line, oldest first.
enum AttemptNotes {
    /// A message's notes are cut to the newest half when they would grow over this.
    static let maximumBytes = 64 << 10
    /// The most that `describe` tells.
    static let maximumHistory = 200

    typealias Note = MessageDescription.AttemptNote

    static func render(_ notes: [Note]) -> [UInt8] {
        var bytes: [UInt8] = []
        for note in notes {
            let fields = [
                String(note.at.microseconds), note.result, SpoolEnvelope.line(note.recipient, limit: 600), SpoolEnvelope.line(note.text),
            ]
            bytes += fields.joined(separator: "\t").utf8
            bytes.append(UInt8(ascii: "\n"))
        }
        return bytes
    }

    /// Reads notes; a line that is none, such as the first of a file that was cut, is passed over.
    static func parse(_ bytes: [UInt8]) -> [Note] {
        bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: "\t"), maxSplits: 3, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
            guard fields.count == 4, let at = Int64(fields[0]), (0...Timestamp.latest.microseconds).contains(at),
                ["delivered", "deferred", "bounced"].contains(fields[1])
            else { return nil }
            return Note(at: Timestamp(microseconds: at), recipient: fields[2], result: fields[1], text: fields[3])
        }
    }

    /// `old` and `new` together, without the oldest when that is more than `maximumBytes`.
    static func joined(_ old: [UInt8], _ new: [UInt8]) -> [UInt8] {
        guard old.count + new.count > maximumBytes else { return old + new }
        let kept = (old + new).suffix(maximumBytes / 2)
        guard let lineEnd = kept.firstIndex(of: UInt8(ascii: "\n")) else { return [] }
        return Array(kept[(lineEnd + 1)...])
    }
}
