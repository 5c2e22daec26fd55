// The SQLite database of the state directory: opened, checked, brought up to date.

import FlushCore
import GRDB
import GRDBSQLite

/// `etrnd.db`: relay domains and flush history.
///
/// One process writes; others (Postfix) may read. A change is durable when the call that made it returns: write-ahead log, synced at
/// each commit. After a kill the next open takes up the log by itself. The files `etrnd.db-wal` and `etrnd.db-shm` stay when the
/// database is closed, because a reader that may not write to the directory could not open the database without them.
public final class Database: Sendable {
    public static let fileName = "etrnd.db"
    /// How long a write waits for somebody else's lock (an operator in `sqlite3`); a read waits 10 s, GRDB's own choice.
    static let busyTimeoutSeconds = 5.0
    /// Connections for reading; they come to be when they are needed.
    static let maximumReaders = 2
    /// The log is cut to this when it has been taken up into the database.
    static let journalSizeLimit = 4 << 20
    /// "ETRN": tells our files from other people's.
    static let applicationID = 0x4554_524E

    public let path: String
    private let pool: DatabasePool

    /// Opens the database in a state directory, which is made when it is not there (its parent must be).
    ///
    /// Blocks; meant for the start.
    ///
    /// - Throws: `StoreError.unavailable` for a directory or file of another user, a file that is damaged or no database of ours,
    ///   one that a newer version has changed, a disk that is full or read-only.
    public init(directory: String) throws(StoreError) {
        try StateDirectory.ensureDirectory(directory)
        let path = "\(directory)/\(Self.fileName)"
        // SQLite gives its log and shared memory the mode of this file.
        try StateDirectory.ensureFile(path)
        try StateDirectory.checkFileIfPresent(path + "-wal")
        try StateDirectory.checkFileIfPresent(path + "-shm")
        self.path = path
        do {
            pool = try DatabasePool(path: path, configuration: Self.configuration)
            // The pool has set NORMAL, with which the last commits are lost when the power goes.
            try pool.writeWithoutTransaction { database in try database.execute(sql: "PRAGMA synchronous = FULL") }
            try Self.check(pool)
            try Migrations.migrator.migrate(pool)
        } catch {
            throw Self.storeError(error, path: path)
        }
    }

    public var relayDomains: RelayDomainTable { RelayDomainTable(database: self) }
    public var flushHistory: FlushHistory { FlushHistory(database: self) }

    /// Takes the log up into the database and closes all connections; waits for what is being written. Calls made afterwards throw.
    public func close() throws(StoreError) {
        // The pool closes a read-only connection last, which cannot do this. Passive: it waits for nobody. What it leaves undone
        // the next open finds in the log.
        _ = try? pool.writeWithoutTransaction { database in
            // Closed already: SQLite does not check what it is given here.
            if database.sqliteConnection != nil { _ = try database.checkpoint(.passive) }
        }
        do { try pool.close() } catch { throw Self.storeError(error, path: path) }
    }

    /// Reads. A cancelled task gets its answer all the same.
    func read<T: Sendable>(_ body: @escaping @Sendable (GRDB.Database) throws -> T) async throws(StoreError) -> T {
        let result: Result<T, any Error> = await withCheckedContinuation { continuation in
            pool.asyncRead { access in continuation.resume(returning: Result { try body(access.get()) }) }
        }
        return try unwrap(result)
    }

    /// Writes in one transaction. A cancelled task does not undo what it asked for: the caller must know what is on the disk.
    func write<T: Sendable>(_ body: @escaping @Sendable (GRDB.Database) throws -> T) async throws(StoreError) -> T {
        let result: Result<T, any Error> = await withCheckedContinuation { continuation in
            pool.asyncWrite(body) { _, result in continuation.resume(returning: result) }
        }
        return try unwrap(result)
    }

    private func unwrap<T>(_ result: Result<T, any Error>) throws(StoreError) -> T {
        do { return try result.get() } catch { throw Self.storeError(error, path: path) }
    }

    private static var configuration: Configuration {
        var configuration = Configuration()
        configuration.label = "etrnd.db"
        configuration.busyMode = .timeout(busyTimeoutSeconds)
        configuration.maximumReaderCount = maximumReaders
        configuration.prepareDatabase { database in
            var isOn: CInt = 1
            let code = sqlite3_file_control(database.sqliteConnection, nil, SQLITE_FCNTL_PERSIST_WAL, &isOn)
            guard code == SQLITE_OK else { throw DatabaseError(resultCode: ResultCode(rawValue: code)) }
            try database.execute(sql: "PRAGMA journal_size_limit = \(journalSizeLimit)")
        }
        return configuration
    }

    /// Refuses what is damaged, not ours, or newer than this program.
    private static func check(_ pool: DatabasePool) throws {
        try pool.read { database in
            let verdict = try String.fetchOne(database, sql: "PRAGMA quick_check(1)") ?? "no answer"
            guard verdict == "ok" else { throw Unusable(reason: "the database is damaged: \(verdict)") }
            let identifier = try Int.fetchOne(database, sql: "PRAGMA application_id") ?? 0
            let tables = try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_master") ?? 0
            guard identifier == applicationID || (identifier == 0 && tables == 0) else {
                throw Unusable(reason: "this is a database of another program")
            }
            guard try !Migrations.migrator.hasBeenSuperseded(database) else {
                throw Unusable(reason: "a newer version of etrnd has changed this database; this version cannot read it")
            }
        }
    }

    /// Something in the database that this program cannot use.
    struct Unusable: Error { let reason: String }

    private static func storeError(_ error: any Error, path: String) -> StoreError {
        switch error {
        case let error as Unusable: .unavailable("\(path): \(error.reason)")
        case let error as DatabaseError:
            .unavailable("\(path): \(error.message ?? "the database refused") (SQLite \(error.extendedResultCode.rawValue))")
        default: .unavailable("\(path): \(error)")
        }
    }
}
