// kill -9 between any two steps: nothing accepted is lost, nothing finished is sent again.

import FlushCore
import FlushTesting
import Glibc
import SMTPServer
import Synchronization
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct CrashTests {
    /// A disk that dies after a number of operations, and stays dead: what a kill leaves behind, without the kill.
    final class MortalDisk: Sendable {
        private let left: Mutex<Int>
        init(operations: Int) { left = Mutex(operations) }

        var isDead: Bool { left.withLock { $0 <= 0 } }

        func fault(_ operation: DiskOperation) -> CInt? {
            left.withLock { left in
                left -= 1
                return left < 0 ? EIO : nil
            }
        }
    }

    /// A run with a delivered, a deferred and a refused recipient; the disk dies after each possible number of operations in turn.
    @Test(arguments: [nil, "[relay.provider.example]:25"]) func nothingIsLostWhereverTheDiskDies(_ relayhost: String?) async throws {
        var operations = 0
        var hasSurvived = false
        while !hasSurvived {
            let disk = MortalDisk(operations: operations)
            hasSurvived = try await run(with: disk, relayhost: relayhost, note: "after \(operations) operations")
            operations += 1
            try #require(operations < 300, "the run never ends")
        }
        #expect(operations > 20)
    }

    /// - Returns: whether the disk lived to the end.
    private func run(with disk: MortalDisk, relayhost: String?, note: Comment) async throws -> Bool {
        let hop = try relayhost.map { try NextHop(parsing: $0) }
        let sites = FakeSites()
        sites.answer("later@normal.example", .deferred(reason: "450 later"))
        sites.answer("never@normal.example", .bounced(reply: "550 5.1.1 never"))
        // A disk that is dead from the beginning lets nothing start.
        guard let spool = try? await Spool.open(sites: sites, fault: { disk.fault($0) }, parameters: { $0.relayhost = hop }) else { return false }
        let time = spool.time

        let accepted = (try? await spool.send(to: ["ok@normal.example", "later@normal.example", "never@normal.example"])) != nil
        if accepted { await spool.events.waitForAttempts(1) }
        let hasSurvived = !disk.isDead
        await spool.queue.stop(within: .seconds(3_600))
        let sentBefore = sites.records

        sites.answer("later@normal.example", nil)
        let again = try await Spool.open(in: spool.folder, routes: spool.routes, sites: sites, time: time, parameters: { $0.relayhost = hop })
        for _ in 0..<40 where !SpoolFolder.queue.allSatisfy({ again.files($0.name).isEmpty }) {
            await time.advance(by: .seconds(400))
        }
        await again.stop()

        let sent = sites.records.flatMap(\.recipients)
        #expect(SpoolFolder.queue.flatMap { again.files($0.name) }.isEmpty, note)
        #expect(again.files("tmp").isEmpty && again.files("corrupt").isEmpty, note)
        if accepted {
            #expect(sent.contains("ok@normal.example") && sent.contains("later@normal.example"), note)
            let reports = relayhost == nil ? again.files("bounces").count : sent.count { $0 == "alice@origin.example" }
            // A report in transmission when the disk died may be sent twice, as any message.
            let wasInTransmission = sentBefore.contains { $0.recipients == ["alice@origin.example"] }
            #expect(reports == 1 || wasInTransmission && reports == 2, "\(note.rawValue): \(reports) reports")
        } else {
            // The disk died between the rename and the sync, or before a refused message could be taken back: as a crash just before
            // the 250, this may leave a message that the client sends again. It is never in pieces.
            #expect(sent.count { $0 == "ok@normal.example" } == sent.count { $0 == "later@normal.example" }, note)
        }
        #expect(sent.count { $0 == "ok@normal.example" } <= 2, note)
        return hasSurvived
    }

    // MARK: Directories as a kill leaves them

    @Test func whatWasNeverAcknowledgedIsRemoved() async throws {
        let spool = try await Spool.open()
        await spool.stop()
        write(Array("half a message".utf8), to: spool.path("tmp/0000000000a"))

        let again = try await spool.reopened()

        #expect(again.start.abandoned == 1)
        #expect(again.files("tmp").isEmpty)
        await again.stop()
    }

    @Test func interruptedMailIsDueNow() async throws {
        let spool = try await Spool.open()
        spool.sites.setDown("mail.normal.example", "down")
        let first = try await spool.send(to: ["a@normal.example"])
        await spool.events.waitForAttempts(1)
        let second = try await spool.send(to: ["b@normal.example"])
        await spool.stop()
        rename(spool.path("deferred/\(first)"), spool.path("active/\(first)"))
        rename(spool.path("deferred/\(second)"), spool.path("incoming/\(second)"))
        spool.sites.setDown("mail.normal.example", nil)

        let again = try await spool.reopened()
        #expect(again.start.interrupted == 2)
        await again.time.advance(by: .seconds(1))
        await again.events.waitForAttempts(2)

        #expect(again.sites.records.count == 2)
        await again.stop()
    }

    @Test func theScheduleSurvivesARestart() async throws {
        let spool = try await Spool.open()
        spool.sites.answer("a@normal.example", .deferred(reason: "450"))
        try await spool.send(to: ["a@normal.example"])
        await spool.events.waitForAttempts(1)
        await spool.time.advance(by: .seconds(100))

        let again = try await spool.reopened()
        await again.time.advance(by: .seconds(190))
        #expect(again.sites.started == 1)
        await again.time.advance(by: .seconds(20))
        await again.events.waitForAttempts(1)

        #expect(again.sites.started == 2)
        await again.stop()
    }

    @Test func askedForMailThatACrashInterruptedWaitsToBeAskedForAgain() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@customer.example"])
        await spool.stop()
        rename(spool.path("deferred/\(id)"), spool.path("active/\(id)"))

        let again = try await spool.reopened()
        await again.time.advance(by: .seconds(10_000))

        #expect(again.sites.started == 0)
        #expect(try await again.scanned().map(\.place) == [.deferred])
        #expect(again.files("deferred") == [id.description])
        #expect(try await again.release([id]) == [.released])
        await again.events.waitForAttempts(1)
        await again.stop()
    }

    @Test func heldMailStaysHeldOverARestart() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@normal.example"].map { _ in "a@customer.example" })
        await spool.stop()
        rename(spool.path("deferred/\(id)"), spool.path("hold/\(id)"))

        let again = try await spool.reopened()
        await again.time.advance(by: .seconds(10 * 86_400))

        #expect(try await again.scanned().map(\.place) == [.held])
        #expect(again.sites.started == 0 && again.files("bounces").isEmpty)
        await again.stop()
    }

    @Test func damagedFilesArePutAsideAndNothingIsLostOfThem() async throws {
        let spool = try await Spool.open()
        var ids: [QueueID] = []
        for number in 0..<5 { ids.append(try await spool.send(to: ["u\(number)@customer.example"])) }
        await spool.stop()
        func path(_ number: Int) -> String { spool.path("deferred/\(ids[number])") }
        truncate(path(0), 0)
        truncate(path(1), 60)
        truncate(path(2), Int(bytes(of: path(2)).count - 1))
        var flipped = bytes(of: path(3))
        flipped[80] ^= 1
        write(flipped, to: path(3))
        write(Array("older".utf8), to: spool.path("corrupt/\(ids[3])"))
        mkfifo(spool.path("deferred/aPipe"), 0o600)
        mkdir(spool.path("deferred/aFolder"), 0o700)
        symlink("/etc/passwd", spool.path("deferred/aLink"))

        let again = try await spool.reopened()

        #expect(again.start.messages == 1)
        #expect(again.files("corrupt").contains("\(ids[3])_1"))
        #expect(bytes(of: again.path("corrupt/\(ids[3])")) == Array("older".utf8))
        #expect(bytes(of: again.path("corrupt/\(ids[3])_1")) == flipped)
        #expect(Set(again.files("corrupt")).isSuperset(of: ids[0...2].map(\.description)))
        #expect(again.files("deferred").contains(ids[4].description))
        await again.stop()
    }

    @Test func idsStayUniqueWhenTheClockIsSetBack() async throws {
        let spool = try await Spool.open()
        let first = try await spool.send(to: ["a@customer.example"])
        spool.time.jump(by: .seconds(-86_400))

        let again = try await spool.reopened()
        let second = try await again.send(to: ["b@customer.example"])

        #expect(second > first)
        #expect(try await again.scanned().count == 2)
        await again.stop()
    }

    @Test func twoEnginesCannotHaveTheSameSpool() async throws {
        let spool = try await Spool.open()
        await #expect(throws: SpoolError.self) { _ = try await Spool.open(in: spool.folder) }
        await spool.stop()
        let again = try await Spool.open(in: spool.folder)
        await again.stop()
    }

    // MARK: A disk that is really full

    @Test(.enabled(if: canMount(), "needs a file system of its own")) func aFullFileSystemIs452AndRecovers() async throws {
        let folder = TemporaryFolder()
        let path = "\(folder.path)/small"
        mkdir(path, 0o700)
        try #require(mount("tmpfs", path, "tmpfs", 0, "size=256k") == 0)
        defer { umount2(path, Int32(MNT_DETACH)) }
        let spool = try await Spool.open(in: folder, at: "\(path)/spool")
        let content = Array("Subject: x\r\n\r\n".utf8) + [UInt8](repeating: 0x61, count: 30_000)

        var accepted: [QueueID] = []
        var refused = 0
        for number in 0..<20 {
            do { accepted.append(try await spool.send(to: ["u\(number)@customer.example"], content)) } catch {
                #expect(error as? SMTPReply == SpoolQueue.noRoom)
                refused += 1
            }
        }

        #expect(!accepted.isEmpty && refused > 0)
        #expect(names(in: "\(path)/spool/tmp").isEmpty)
        #expect(names(in: "\(path)/spool/deferred").count == accepted.count)
        _ = try await spool.release(accepted)
        await spool.events.waitForAttempts(accepted.count)
        #expect(spool.sites.records.count == accepted.count)
        try await spool.send(to: ["again@customer.example"], content)
        await spool.stop()
    }
}

/// Whether this process may mount; tried out, because root in a container may not.
private func canMount() -> Bool {
    let folder = TemporaryFolder()
    guard geteuid() == 0, mount("none", folder.path, "tmpfs", 0, nil) == 0 else { return false }
    return umount2(folder.path, 0) == 0
}
