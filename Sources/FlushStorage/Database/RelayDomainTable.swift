// Relay domains in SQLite.

import FlushCore
import GRDB

/// The table `relay_domains`. What a hand has put into it and no relay domain can have is an error that names the row: a domain
/// that is silently left out would have its mail refused.
public struct RelayDomainTable: RelayDomainStore {
    let database: Database

    public func all() async throws(StoreError) -> [RelayDomain] {
        try await database.read { database in
            let rows = try Row.fetchCursor(database, sql: "SELECT * FROM relay_domains ORDER BY domain")
            var relayDomains: [RelayDomain] = []
            while let row = try rows.next() { relayDomains.append(try RelayDomain(row: row)) }
            return relayDomains
        }
    }

    public func put(_ relayDomain: RelayDomain) async throws(StoreError) {
        try await database.write { database in try relayDomain.write(to: database) }
    }

    public func remove(_ domain: DomainName) async throws(StoreError) {
        try await database.write { database in try Self.delete(domain, from: database) }
    }

    public func apply(put: [RelayDomain], remove: [DomainName]) async throws(StoreError) {
        try await database.write { database in
            for domain in remove { try Self.delete(domain, from: database) }
            for relayDomain in put { try relayDomain.write(to: database) }
        }
    }

    private static func delete(_ domain: DomainName, from database: GRDB.Database) throws {
        try database.cachedStatement(sql: "DELETE FROM relay_domains WHERE domain = ?").execute(arguments: [domain.description])
    }
}

extension RelayDomain {
    fileprivate init(row: Row) throws {
        let name: String = row["domain"]
        func unusable(_ column: String) -> FlushStorage.Database.Unusable {
            FlushStorage.Database.Unusable(
                reason: "relay_domains, row \(name.debugDescription): no valid \(column): \(row[column] as String)")
        }
        guard let domain = DomainName(name), domain.description == name else { throw unusable("domain") }
        guard let nextHop = try? NextHop(parsing: row["next_hop"] as String) else { throw unusable("next_hop") }
        guard let delivery = Delivery(rawValue: row["delivery"]) else { throw unusable("delivery") }
        guard let state = State(rawValue: row["state"]) else { throw unusable("state") }
        self.init(
            domain: domain, nextHop: nextHop, delivery: delivery, state: state, comment: row["comment"], owner: row["owner"],
            version: row["version"], createdAt: Timestamp(microseconds: row["created_at"]),
            updatedAt: Timestamp(microseconds: row["updated_at"]), updatedBy: row["updated_by"])
    }

    fileprivate func write(to database: GRDB.Database) throws {
        let statement = try database.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO relay_domains
                    (domain, next_hop, delivery, state, comment, owner, version, created_at, updated_at, updated_by)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
        try statement.execute(arguments: [
            domain.description, nextHop.description, delivery.rawValue, state.rawValue, comment, owner, version,
            createdAt.microseconds, updatedAt.microseconds, updatedBy,
        ])
    }
}
