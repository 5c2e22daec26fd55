// Past flushes in SQLite.

import FlushCore
import GRDB

/// The table `flushes`. `coalesced` and `dryRun` are not kept: they belong to an answer, not to the flush.
public struct FlushHistory: FlushHistoryStore {
    let database: Database

    public func save(_ flushes: [Flush]) async throws(StoreError) {
        guard !flushes.isEmpty else { return }
        try await database.write { database in
            for flush in flushes { try flush.write(to: database) }
        }
    }

    public func flush(_ id: FlushID) async throws(StoreError) -> Flush? {
        try await database.read { database in
            try Row.fetchOne(database, sql: "SELECT * FROM flushes WHERE id = ?", arguments: [id.description]).map(Flush.init(row:))
        }
    }

    public func flushes(_ query: FlushQuery) async throws(StoreError) -> [Flush] {
        var conditions = ["TRUE"]
        var arguments = StatementArguments()
        if let domain = query.domain {
            conditions.append("domain = ?")
            arguments += [domain.description]
        }
        if let state = query.state {
            conditions.append("state = ?")
            arguments += [state.rawValue]
        }
        if let before = query.before {
            conditions.append("id < ?")
            arguments += [before.description]
        }
        // To SQLite a negative limit is none.
        arguments += [max(0, query.limit)]
        let sql = "SELECT * FROM flushes WHERE \(conditions.joined(separator: " AND ")) ORDER BY id DESC LIMIT ?"
        return try await database.read { [arguments] database in
            try Row.fetchAll(database, sql: sql, arguments: arguments).map(Flush.init(row:))
        }
    }

    public func lastFlushes() async throws(StoreError) -> [DomainName: Flush] {
        try await database.read { database in
            // The look-up for each domain goes through the index; a GROUP BY over whole rows would not.
            let rows = try Row.fetchCursor(
                database,
                sql: """
                    SELECT * FROM flushes
                    WHERE id IN (SELECT max(id) FROM flushes WHERE domain IS NOT NULL GROUP BY domain)
                    """)
            var last: [DomainName: Flush] = [:]
            while let row = try rows.next() {
                let flush = try Flush(row: row)
                if case .domain(let domain, _) = flush.selector { last[domain] = flush }
            }
            return last
        }
    }

    public func interruptRunning(at time: Timestamp) async throws(StoreError) -> Int {
        try await database.write { database in
            try database.execute(
                sql: "UPDATE flushes SET state = ?, finished_at = ? WHERE state = ?",
                arguments: [Flush.State.interrupted.rawValue, time.microseconds, Flush.State.running.rawValue])
            return database.changesCount
        }
    }

    public func trim(to count: Int) async throws(StoreError) {
        try await database.write { database in
            // The ID of the newest that goes; none when there are not more than `count`.
            try database.execute(
                sql: "DELETE FROM flushes WHERE id <= (SELECT id FROM flushes ORDER BY id DESC LIMIT 1 OFFSET ?)",
                arguments: [max(0, count)])
        }
    }
}
