// Follows Postfix's log file: what became of recipients that are gone from the queue. May block.

import FlushCore
import Logging
import Synchronization

/// Reads what is new in the log when it is asked to, across rotation, and remembers the last outcomes.
///
/// The log is a witness, not an authority: a line that does not come, or that somebody has forged, makes a count wrong and nothing else.
final class MailLog: Sendable {
    /// Lines remembered, at least; about 10 MB when every address is long.
    static let maximumLines = 20_000

    /// What the log says of a message.
    struct Account: Sendable, Equatable {
        /// The last outcome of each recipient.
        var outcomes: [String: MailLogLine] = [:]
        /// It has left the queue: nothing more will be said.
        var isRemoved = false
        /// The number of the last line that was taken into account.
        var last = 0
    }

    private struct Lines {
        var lines: [(number: Int, line: MailLogLine)] = []
        /// An attempt was told with the lines up to this number.
        var told = 0
    }

    private struct Kept {
        var lines: [QueueID: Lines] = [:]
        /// Whose line came when; the oldest half goes at once.
        var order: [QueueID] = []
        var number = 0
        var isReadable = false

        mutating func keep(_ line: MailLogLine, limit: Int) {
            number += 1
            lines[line.id, default: Lines()].lines.append((number: number, line: line))
            order.append(line.id)
            guard order.count >= 2 * limit else { return }
            for id in order[..<limit] {
                guard var entry = lines[id], !entry.lines.isEmpty else { continue }
                entry.lines.removeFirst()
                lines[id] = entry.lines.isEmpty ? nil : entry
            }
            order.removeFirst(limit)
        }
    }

    private let path: String
    private let logger: Logger
    private let limit: Int
    /// Held while the file is read; never for long is `kept`, which the queue's own actor asks for.
    private let reader: Mutex<LogReader>
    private let kept = Mutex(Kept())

    /// What was logged before is of no interest. A log that is not there yet is followed from its first line.
    init(path: String, logger: Logger, limit: Int = MailLog.maximumLines) {
        self.path = path
        self.logger = logger
        self.limit = limit
        reader = Mutex(LogReader(path: path))
        kept.withLock { $0.isReadable = true }
    }

    /// Reads what is new. Returns the number of the last line so far.
    @discardableResult
    func refresh() -> Int {
        reader.withLock { reader in
            let isOpen = reader.read { text in
                guard let line = MailLogLine(text), line.status != .deferred else { return }
                kept.withLock { $0.keep(line, limit: limit) }
            }
            let (number, wasReadable) = kept.withLock { kept in
                defer { kept.isReadable = isOpen }
                return (kept.number, kept.isReadable)
            }
            if !isOpen, wasReadable { logger.warning("the mail log cannot be read", metadata: ["path": "\(path)"]) }
            return number
        }
    }

    /// Whether it is worth while to wait for a line.
    var isReadable: Bool { kept.withLock { $0.isReadable } }

    /// What the log says of the message after this line, and after what was told.
    func account(of id: QueueID, after number: Int) -> Account {
        kept.withLock { kept in
            guard let entry = kept.lines[id] else { return Account() }
            return Self.account(entry.lines.lazy.filter { $0.number > max(number, entry.told) }.map { $0 })
        }
    }

    /// All that the log says of the message, for who wants to describe it.
    func account(of id: QueueID) -> Account {
        kept.withLock { kept in Self.account(kept.lines[id]?.lines ?? []) }
    }

    private static func account(_ lines: [(number: Int, line: MailLogLine)]) -> Account {
        var account = Account()
        for (number, line) in lines {
            account.last = number
            if line.status == .removed { account.isRemoved = true } else { account.outcomes[line.recipient] = line }
        }
        return account
    }

    /// An attempt was told with this account: its lines are no news for the next.
    func told(_ id: QueueID, _ account: Account) {
        kept.withLock { kept in
            guard let told = kept.lines[id]?.told else { return }
            kept.lines[id]?.told = max(told, account.last)
        }
    }
}
