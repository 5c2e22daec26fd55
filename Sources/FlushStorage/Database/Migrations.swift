// The tables, and how older files get them.

import GRDB

/// Each step is final once it has been released: a change is a new step. The columns of `relay_domains` are also Postfix's
/// interface (its sqlite maps query them): renaming one breaks mail acceptance.
enum Migrations {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("relay domains and flushes") { database in
            try database.execute(sql: "PRAGMA application_id = \(FlushStorage.Database.applicationID)")
            try createRelayDomains(in: database)
            try createFlushes(in: database)
        }
        return migrator
    }

    /// `domain` and the host of `next_hop` are A-labels; times are microseconds since 1970.
    private static func createRelayDomains(in database: GRDB.Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE relay_domains (
                    domain TEXT NOT NULL PRIMARY KEY,
                    next_hop TEXT NOT NULL,
                    delivery TEXT NOT NULL,
                    state TEXT NOT NULL,
                    comment TEXT NOT NULL,
                    owner TEXT NOT NULL,
                    version INTEGER NOT NULL,
                    created_at INTEGER NOT NULL,
                    updated_at INTEGER NOT NULL,
                    updated_by TEXT NOT NULL
                ) STRICT, WITHOUT ROWID
                """)
    }

    /// The selector is `domain` (with `subdomains`), or `queue_id`, or neither: everything.
    private static func createFlushes(in database: GRDB.Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE flushes (
                    id TEXT NOT NULL PRIMARY KEY,
                    domain TEXT,
                    subdomains INTEGER NOT NULL,
                    queue_id TEXT,
                    mode TEXT NOT NULL,
                    state TEXT NOT NULL,
                    via TEXT NOT NULL,
                    requested_by TEXT NOT NULL,
                    note TEXT,
                    requested_at INTEGER NOT NULL,
                    finished_at INTEGER,
                    scheduled_at INTEGER,
                    matched INTEGER NOT NULL,
                    matched_bytes INTEGER NOT NULL,
                    oldest_arrival INTEGER,
                    released INTEGER NOT NULL,
                    in_delivery INTEGER NOT NULL,
                    held INTEGER NOT NULL,
                    vanished INTEGER NOT NULL,
                    delivered INTEGER NOT NULL,
                    deferred_again INTEGER NOT NULL,
                    bounced INTEGER NOT NULL,
                    departed INTEGER NOT NULL,
                    open INTEGER NOT NULL,
                    last_reason TEXT
                ) STRICT, WITHOUT ROWID;
                CREATE INDEX flushes_by_domain ON flushes (domain, id);
                CREATE INDEX flushes_by_state ON flushes (state, id);
                """)
    }
}
