// The database file: who may hold it, what is refused at the start, what outlives a kill.

import FlushCore
import FlushTesting
import GRDB
import Glibc
import Testing

@testable import FlushStorage

@Suite struct DatabaseTests {
    typealias Database = FlushStorage.Database

    /// Why opening fails; nil when it does not.
    func refusal(_ directory: String) -> String? {
        do throws(StoreError) {
            try Database(directory: directory).close()
            return nil
        } catch {
            switch error {
            case .unavailable(let reason): return reason
            }
        }
    }

    @Test func makesFilesThatAreOursAlone() async throws {
        try await withTemporaryDirectory { parent in
            let directory = "\(parent)/state"

            let database = try Database(directory: directory)
            try await database.relayDomains.put(Samples.relayDomain("a.example"))

            #expect(try mode(of: directory) == 0o700)
            for name in ["etrnd.db", "etrnd.db-wal", "etrnd.db-shm"] { #expect(try mode(of: "\(directory)/\(name)") == 0o600) }
            try database.close()
        }
    }

    @Test func closesAFileThatOthersCouldRead() async throws {
        try await withTemporaryDirectory { directory in
            try Database(directory: directory).close()
            chmod("\(directory)/etrnd.db", 0o644)

            try Database(directory: directory).close()

            #expect(try mode(of: "\(directory)/etrnd.db") == 0o600)
        }
    }

    @Test func refusesADirectoryThatOthersMayWriteTo() async throws {
        try await withTemporaryDirectory { directory in
            chmod(directory, 0o770)

            let modeBefore = try mode(of: directory)
            #expect(refusal(directory)?.contains("others may write") == true)
            let modeAfter = try mode(of: directory)
            #expect(modeAfter == modeBefore)
            #expect(names(in: directory).isEmpty)
        }
    }

    @Test func refusesWhatIsNoDirectoryAndWhatHasNoParent() async throws {
        try await withTemporaryDirectory { directory in
            try write("", to: "\(directory)/file")

            #expect(refusal("\(directory)/file") == "\(directory)/file: Not a directory")
            #expect(refusal("\(directory)/no/state") == "\(directory)/no/state: No such file or directory")
        }
    }

    @Test func refusesADatabaseFileThatIsNone() async throws {
        try await withTemporaryDirectory { directory in
            symlink("/etc/hostname", "\(directory)/etrnd.db")
            #expect(refusal(directory)?.hasPrefix("\(directory)/etrnd.db: ") == true)

            unlink("\(directory)/etrnd.db")
            mkfifo("\(directory)/etrnd.db", 0o600)
            #expect(refusal(directory) == "\(directory)/etrnd.db: not a regular file")

            unlink("\(directory)/etrnd.db")
            try write(String(repeating: "this is no database. ", count: 500), to: "\(directory)/etrnd.db")
            #expect(refusal(directory)?.contains("file is not a database") == true)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give files away"))
    func refusesWhatBelongsToAnotherUser() async throws {
        try await withTemporaryDirectory { directory in
            try Database(directory: directory).close()

            for path in [directory, "\(directory)/etrnd.db", "\(directory)/etrnd.db-wal", "\(directory)/etrnd.db-shm"] {
                #expect(chown(path, 4242, 4242) == 0)
                #expect(refusal(directory) == "\(path): belongs to user ID 4242, but this process runs as 0")
                #expect(chown(path, 0, 0) == 0)
            }
            #expect(refusal(directory) == nil)
        }
    }

    @Test func refusesADamagedDatabase() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            try await database.relayDomains.apply(put: (0..<500).map { Samples.relayDomain("d\($0).example") }, remove: [])
            try database.close()

            // The log stays after a close and would hide the damage.
            unlink("\(directory)/etrnd.db-wal")
            #expect(try contents(of: "\(directory)/etrnd.db").utf8.count > 30_000, "all is in the file itself after a close")
            let descriptor = open("\(directory)/etrnd.db", O_RDWR)
            let garbage = [UInt8](repeating: 0xA5, count: 20_000)
            #expect(pwrite(descriptor, garbage, garbage.count, 8192) == garbage.count)
            close(descriptor)

            #expect(refusal(directory)?.contains("etrnd.db: ") == true)
            #expect(refusal(directory)?.contains("malformed") == true || refusal(directory)?.contains("damaged") == true)
        }
    }

    @Test func refusesADatabaseOfANewerVersion() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            try await database.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('from the future')") }
            try database.close()

            #expect(refusal(directory)?.contains("a newer version of etrnd") == true)
        }
    }

    @Test func refusesADatabaseOfAnotherProgram() async throws {
        try await withTemporaryDirectory { directory in
            let other = try DatabaseQueue(path: "\(directory)/etrnd.db")
            try await other.write { try $0.execute(sql: "CREATE TABLE songs (title TEXT)") }
            try other.close()

            #expect(refusal(directory)?.contains("another program") == true)
        }
    }

    @Test func syncsEveryCommit() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)

            let (journal, synchronous) = try await database.write { database in
                (
                    try String.fetchOne(database, sql: "PRAGMA journal_mode"),
                    try Int.fetchOne(database, sql: "PRAGMA synchronous")
                )
            }

            #expect(journal == "wal")
            #expect(synchronous == 2, "FULL")
        }
    }

    @Test func leavesTheFilesThatAReaderNeeds() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            try await database.relayDomains.put(Samples.relayDomain("a.example"))
            _ = try await database.relayDomains.all()

            try database.close()

            #expect(names(in: directory) == ["etrnd.db", "etrnd.db-shm", "etrnd.db-wal"])
        }
    }

    @Test func anotherProcessSeesAnEditAtOnceAndByItsSubdomains() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            var configuration = Configuration()
            configuration.readonly = true
            let postfix = try DatabaseQueue(path: database.path, configuration: configuration)
            // As trivial-rewrite asks: the name, then its parents, with a leading dot in exact mode.
            func nextHop(_ key: String) async throws -> String? {
                try await postfix.read {
                    try String.fetchOne($0, sql: "SELECT next_hop FROM relay_domains WHERE domain = ltrim(?, '.')", arguments: [key])
                }
            }

            #expect(try await nextHop("a.example") == nil)
            try await database.relayDomains.put(Samples.relayDomain("a.example"))
            #expect(try await nextHop("a.example") == "[mail.a.example]:25")
            #expect(try await nextHop(".a.example") == "[mail.a.example]:25")
            try await database.relayDomains.remove(Samples.domain("a.example"))
            #expect(try await nextHop("a.example") == nil)
        }
    }

    @Test func whatWasAnsweredOutlivesAKill() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            try await database.relayDomains.put(Samples.relayDomain("a.example"))
            try await database.flushHistory.save([Samples.flush(1, state: .running)])

            // What is on the disk while the process still holds everything open is what a kill would leave.
            let copy = "\(directory)/copy"
            mkdir(copy, 0o700)
            for name in ["etrnd.db", "etrnd.db-wal"] { try copyFile("\(directory)/\(name)", to: "\(copy)/\(name)") }
            let reopened = try Database(directory: copy)

            #expect(try await reopened.relayDomains.all() == [Samples.relayDomain("a.example")])
            #expect(try await reopened.flushHistory.interruptRunning(at: Timestamp(seconds: 5)) == 1)
        }
    }

    @Test func aFullDiskIsToldAndHarmsNothing() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            try await database.relayDomains.put(Samples.relayDomain("a.example"))
            try await database.write { _ = try Int.fetchOne($0, sql: "PRAGMA max_page_count = 20") }
            let many = (0..<2000).map { Samples.relayDomain("d\($0).example") }

            await #expect(throws: StoreError.unavailable("\(database.path): database or disk is full (SQLite 13)")) {
                try await database.relayDomains.apply(put: many, remove: [Samples.domain("a.example")])
            }

            #expect(try await database.relayDomains.all() == [Samples.relayDomain("a.example")])
            try await database.write { _ = try Int.fetchOne($0, sql: "PRAGMA max_page_count = 100000") }
            try await database.relayDomains.apply(put: many, remove: [])
            #expect(try await database.relayDomains.all().count == 2001)
        }
    }

    @Test func aChangeOfManyIsAllOrNothing() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            try await database.relayDomains.put(Samples.relayDomain("a.example"))
            try await database.write {
                try $0.execute(
                    sql: """
                        CREATE TRIGGER refuse BEFORE INSERT ON relay_domains WHEN NEW.domain = 'c.example'
                        BEGIN SELECT RAISE(ABORT, 'not this one'); END
                        """)
            }

            await #expect(throws: StoreError.self) {
                try await database.relayDomains.apply(
                    put: ["b.example", "c.example", "d.example"].map { Samples.relayDomain($0) }, remove: [Samples.domain("a.example")])
            }

            #expect(try await database.relayDomains.all() == [Samples.relayDomain("a.example")])
        }
    }

    @Test(arguments: [
        ("domain", "A.Example"), ("domain", "a..example"), ("next_hop", "no port:x"), ("delivery", "sometimes"), ("state", "asleep"),
    ])
    func aRowThatAHandHasSpoiltIsNamed(_ column: String, _ value: String) async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            try await database.relayDomains.put(Samples.relayDomain("b.example"))
            try await database.write { try $0.execute(sql: "UPDATE relay_domains SET \(column) = ?", arguments: [value]) }

            do {
                _ = try await database.relayDomains.all()
                Issue.record("the row was taken")
            } catch StoreError.unavailable(let reason) {
                #expect(reason.contains("relay_domains"))
                #expect(reason.contains(column))
                #expect(reason.contains(value))
            }
        }
    }

    @Test func aCancelledTaskIsToldTheTruth() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)

            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                try await database.relayDomains.put(Samples.relayDomain("a.example"))
                return try await database.relayDomains.all().count
            }

            #expect(try await task.value == 1)
        }
    }

    @Test func answersManyAtOnce() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)

            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<40 {
                    group.addTask { try await database.relayDomains.put(Samples.relayDomain("d\(number).example")) }
                    group.addTask { try await database.flushHistory.save([Samples.flush(number)]) }
                    group.addTask { _ = try await database.flushHistory.flushes(FlushQuery()) }
                }
                try await group.waitForAll()
            }

            #expect(try await database.relayDomains.all().count == 40)
            #expect(try await database.flushHistory.flushes(FlushQuery()).count == 40)
        }
    }

    @Test func refusesCallsAfterItWasClosed() async throws {
        try await withTemporaryDirectory { directory in
            let database = try Database(directory: directory)
            try database.close()
            try database.close()

            await #expect(throws: StoreError.self) { try await database.relayDomains.all() }
            await #expect(throws: StoreError.self) { try await database.relayDomains.put(Samples.relayDomain("a.example")) }
        }
    }

    private func copyFile(_ source: String, to target: String) throws {
        let input = open(source, O_RDONLY)
        let output = open(target, O_WRONLY | O_CREAT, 0o600)
        guard input >= 0, output >= 0 else { throw SystemFailure(code: errno) }
        defer {
            close(input)
            close(output)
        }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(input, &buffer, buffer.count)
            guard count > 0 else { return }
            guard Glibc.write(output, buffer, count) == count else { throw SystemFailure(code: errno) }
        }
    }
}
