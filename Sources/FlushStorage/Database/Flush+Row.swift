// A flush as a row, and back.

import FlushCore
import GRDB

extension Flush {
    /// The columns that are plain numbers.
    private static let numbers: [(column: String, path: any WritableKeyPath<Flush, Int> & Sendable)] = [
        ("matched", \.matched), ("matched_bytes", \.matchedBytes), ("released", \.released), ("in_delivery", \.inDelivery),
        ("held", \.held), ("vanished", \.vanished), ("delivered", \.delivered),
        ("deferred_again", \.deferredAgain), ("bounced", \.bounced), ("departed", \.departed), ("open", \.open),
    ]

    private static let texts = [
        "id", "domain", "subdomains", "queue_id", "mode", "state", "via", "requested_by", "note", "requested_at", "finished_at",
        "scheduled_at", "oldest_arrival", "last_reason",
    ]

    private static let insertion: String = {
        let columns = texts + numbers.map(\.column)
        let marks = columns.map { _ in "?" }.joined(separator: ", ")
        return "INSERT OR REPLACE INTO flushes (\(columns.joined(separator: ", "))) VALUES (\(marks))"
    }()

    /// - Throws: `Database.Unusable`, naming the row, for what no flush can have.
    init(row: Row) throws {
        let name: String = row["id"]
        func unusable(_ column: String) -> FlushStorage.Database.Unusable {
            FlushStorage.Database.Unusable(reason: "flushes, row \(name.debugDescription): no valid \(column)")
        }
        guard let id = FlushID(name) else { throw unusable("id") }
        guard let mode = Mode(rawValue: row["mode"]) else { throw unusable("mode") }
        guard let state = State(rawValue: row["state"]) else { throw unusable("state") }
        guard let via = FlushRequest.Way(rawValue: row["via"]) else { throw unusable("via") }
        let selector: FlushSelector
        if let text: String = row["domain"] {
            guard let domain = DomainName(text) else { throw unusable("domain") }
            selector = .domain(domain, subdomains: row["subdomains"])
        } else if let text: String = row["queue_id"] {
            guard let queueID = QueueID(text) else { throw unusable("queue_id") }
            selector = .message(queueID)
        } else {
            selector = .everything
        }
        self.init(
            id: id, selector: selector, mode: mode, state: state, via: via, requestedBy: row["requested_by"], note: row["note"],
            requestedAt: Timestamp(microseconds: row["requested_at"]))
        finishedAt = (row["finished_at"] as Int64?).map(Timestamp.init(microseconds:))
        scheduledAt = (row["scheduled_at"] as Int64?).map(Timestamp.init(microseconds:))
        oldestArrival = (row["oldest_arrival"] as Int64?).map(Timestamp.init(microseconds:))
        lastReason = row["last_reason"]
        for number in Self.numbers { self[keyPath: number.path] = row[number.column] }
    }

    func write(to database: GRDB.Database) throws {
        var domain: String?
        var subdomains = false
        var queueID: String?
        switch selector {
        case .domain(let name, let includesSubdomains): (domain, subdomains) = (name.description, includesSubdomains)
        case .message(let id): queueID = id.description
        case .everything: break
        }
        var arguments: StatementArguments = [
            id.description, domain, subdomains, queueID, mode.rawValue, state.rawValue, via.rawValue, requestedBy, note,
            requestedAt.microseconds, finishedAt?.microseconds, scheduledAt?.microseconds, oldestArrival?.microseconds, lastReason,
        ]
        arguments += StatementArguments(Self.numbers.map { self[keyPath: $0.path] })
        try database.cachedStatement(sql: Self.insertion).execute(arguments: arguments)
    }
}
