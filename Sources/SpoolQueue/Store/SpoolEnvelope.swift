// What the spool knows of a message besides its content.

import FlushCore

/// A message's envelope, as kept at the beginning of its queue file (`SpoolFile`).
struct SpoolEnvelope: Sendable, Equatable {
    /// Where a recipient stands. One byte, overwritten in place and synced after each attempt.
    ///
    /// No two differ in a single bit only, so that one flipped bit cannot make a pending recipient a finished one.
    enum Status: UInt8, Sendable {
        case pending = 0x70  // p
        case delivered = 0x64  // d
        /// Refused or expired, and no report tells so yet.
        case reportOwed = 0x62  // b
        /// Refused or expired, and a report is safely on disk.
        case reported = 0x73  // s
    }

    /// Whether the content has bytes above 127.
    enum Body: String, Sendable { case sevenBit = "7bit", eightBit = "8bit" }

    struct Recipient: Sendable, Equatable {
        var address: String
        var status: Status = .pending
    }

    /// What a report is about; its own recipient is the original's sender.
    struct Report: Sendable, Equatable {
        var original: QueueID
        /// The original's reverse-path; empty for the null sender.
        var sender: String
        /// The recipients that the original did not reach.
        var failed: [String]
        /// Why, for the first of them; one line.
        var reason: String
    }

    var id: QueueID
    var arrival: Timestamp
    /// The content's bytes, our own Received line included.
    var size: Int
    var body: Body = .sevenBit
    /// The reverse-path; empty for the null sender.
    var sender: String
    /// Who brought it: the peer's address and what it called itself.
    var client: String = ""
    var helo: String = ""
    var report: Report?
    var recipients: [Recipient]

    var hasPending: Bool { recipients.contains { $0.status == .pending } }
    var owesReport: Bool { recipients.contains { $0.status == .reportOwed } }

    /// The domains of the pending recipients, each once, in the order of the recipients.
    var pendingDomains: [DomainName] {
        var seen: Set<DomainName> = []
        return recipients.compactMap { recipient in
            guard recipient.status == .pending, let domain = Self.domain(of: recipient.address) else { return nil }
            return seen.insert(domain).inserted ? domain : nil
        }
    }

    /// The destination of an address: the part right of its last `@`, nil when that is no domain name.
    static func domain(of address: String) -> DomainName? {
        guard let at = address.utf8.lastIndex(of: UInt8(ascii: "@")) else { return nil }
        return DomainName(address[address.utf8.index(after: at)...])
    }

    /// `text` fit for a line of a file: control characters become question marks, and no more than `limit` bytes are kept.
    static func line(_ text: String, limit: Int = 500) -> String {
        // 0xC2 begins U+0080 to U+009F, which are control characters too, and some others.
        guard text.utf8.count > limit || text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f || $0 == 0xc2 }) else { return text }
        var result = String.UnicodeScalarView()
        var length = 0
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value)
            let kept: Unicode.Scalar = isControl ? "?" : scalar
            length += UTF8.width(kept)
            guard length <= limit else { break }
            result.append(kept)
        }
        return String(result)
    }
}
