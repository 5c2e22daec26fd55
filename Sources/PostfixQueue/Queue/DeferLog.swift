// The file below `defer/` in which Postfix keeps why a message's recipients wait.

import FlushCore

/// A message's defer log: blank lines between paragraphs, `name=value` lines in them.
///
/// Postfix starts it anew at every attempt, so that it tells of the last one.
struct DeferLog: Equatable, Sendable {
    /// Reasons beyond this are cut; a log of a message for thousands is read this far only.
    static let maximumBytes = 1 << 20
    static let maximumReason = 500

    struct Entry: Equatable, Sendable {
        var recipient: String
        var reason: String
        /// A server said so; otherwise Postfix did, because it reached none.
        var isReply = false
    }

    /// In the order of the file; the last of a recipient counts.
    var entries: [Entry] = []
    /// When the file was last written to; the log itself has no times.
    var written: Timestamp?

    init(_ bytes: [UInt8], written: Timestamp? = nil) {
        self.written = written
        var recipient: String?
        var reason: String?
        var isReply = false
        func finish() {
            if let recipient, let reason { entries.append(.init(recipient: recipient, reason: reason, isReply: isReply)) }
            recipient = nil
            reason = nil
            isReply = false
        }
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            if line.isEmpty {
                finish()
            } else if let value = Self.value(of: "recipient=", in: line) {
                recipient = value
            } else if let value = Self.value(of: "reason=", in: line) {
                reason = Self.oneLine(value)
            } else if Self.value(of: "diag_type=", in: line) == "smtp" {
                isReply = true
            }
        }
        finish()
    }

    /// The reason of each recipient.
    var reasons: [String: String] { Dictionary(entries.map { ($0.recipient, $0.reason) }) { _, last in last } }

    private static func value(of name: StaticString, in line: ArraySlice<UInt8>) -> String? {
        let prefix = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        guard line.starts(with: prefix) else { return nil }
        return String(decoding: line.dropFirst(prefix.count), as: UTF8.self)
    }

    /// What a remote server said is shown to people: no control characters, at most `maximumReason` bytes.
    static func oneLine(_ text: String) -> String {
        var line = ""
        var length = 0
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            let shown = isControl ? " " : scalar
            length += UTF8.width(shown)
            if length > maximumReason { break }
            line.unicodeScalars.append(shown)
        }
        return line
    }
}
