// What the spool takes, what it refuses, and what is on the disk when it says 250.

import DispatchSockets
import FlushCore
import FlushTesting
import SMTPServer
import Synchronization
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct IntakeTests {
    private func reply(to recipient: String, _ spool: Spool) async -> SMTPReply? {
        await spool.queue.intake.checkRecipient(SMTPPath(recipient)!, in: spool.envelope(to: []))
    }

    @Test func takesMailForRelayDomainsAndTheirSubdomainsOnly() async throws {
        let spool = try await Spool.open()

        #expect(await reply(to: "user@customer.example", spool) == nil)
        #expect(await reply(to: "user@Deep.Sub.CUSTOMER.example", spool) == nil)
        for stranger in [
            "user@elsewhere.example", "user@notcustomer.example", "user@example", "user@[192.0.2.1]", "user%elsewhere.example@relay.example",
        ] {
            let reply = await reply(to: stranger, spool)
            #expect(reply?.code == 554, "\(stranger)")
            #expect(reply?.enhanced == "5.7.1")
            #expect(reply?.lines == ["<\(stranger)>: Relay access denied"])
        }
        await spool.stop()
    }

    @Test func refusesWhatIsNoDomain() async throws {
        let spool = try await Spool.open()

        #expect(await reply(to: "user@-customer.example", spool)?.code == 501)
        #expect(await reply(to: "user@1234.5", spool)?.code == 501)
        #expect(await reply(to: "postmaster", spool)?.code == 550)
        await spool.stop()
    }

    @Test func aDrainingDomainTakesNoNewMailForNow() async throws {
        let spool = try await Spool.open()
        spool.routes["customer.example"]?.acceptsNew = false

        #expect(await reply(to: "user@customer.example", spool)?.code == 450)
        await spool.stop()
    }

    @Test func refusesWhenTheDiskIsLow() async throws {
        let spool = try await Spool.open(parameters: { $0.queueMinfree = Int.max - 10 })

        let reply = await spool.queue.intake.checkSender(SMTPPath("a@b.example")!, declaredSize: nil, peer: Spool.peer)
        #expect(reply?.code == 452)
        #expect(reply?.enhanced == "4.3.1")
        await #expect(throws: SpoolQueue.noRoom) { try await spool.queue.intake.begin(spool.envelope(to: ["u@customer.example"])) }
        let overflow = await spool.queue.intake.checkSender(SMTPPath("a@b.example")!, declaredSize: Int.max, peer: Spool.peer)
        #expect(overflow?.code == 452)
        await spool.stop()
    }

    @Test func theMessageIsOnDiskWithOurReceivedLineWhenItIsAcknowledged() async throws {
        let spool = try await Spool.open()

        let id = try await spool.send(to: ["user@customer.example"])

        #expect(spool.files("deferred") == [id.description])
        #expect(spool.files("tmp").isEmpty)
        let text = String(decoding: bytes(of: spool.path("deferred/\(id)")), as: UTF8.self)
        #expect(
            text.contains(
                "\n\nReceived: from client.example ([192.0.2.1])\r\n\tby relay.example (etrnd) with ESMTP id \(id)\r\n\tfor <user@customer.example>;\r\n"
            ))
        #expect(text.hasSuffix("\r\nSubject: hello\r\n\r\nA line.\r\n"))
        #expect(
            spool.events.all == [
                .queued(
                    QueuedMessage(
                        id: id, place: .deferred, arrival: spool.time.now, size: size(of: text),
                        domains: [DomainName("customer.example")!]))
            ])
        await spool.stop()
    }

    private func size(of text: String) -> Int {
        text.utf8.count - text.utf8.distance(from: text.utf8.startIndex, to: text.firstRange(of: "Received:")!.lowerBound)
    }

    @Test func severalRecipientsDoNotReadOfEachOther() async throws {
        let spool = try await Spool.open()
        let id = try await spool.send(to: ["a@customer.example", "b@customer.example", "a@CUSTOMER.example"])

        let text = String(decoding: bytes(of: spool.path("deferred/\(id)")), as: UTF8.self)
        #expect(!text.contains("\tfor <"))
        #expect(try await spool.queue.describe([id]).first?.recipients.map(\.address) == ["a@customer.example", "b@customer.example"])
        await spool.stop()
    }

    @Test func aLargeMessageIsStreamedAndComesBackByteForByte() async throws {
        let spool = try await Spool.open()
        var content = Array("Subject: large\r\n\r\n".utf8)
        for line in 0..<70_000 { content += "line \(line) of a message that does not fit into memory\r\n".utf8 }

        let id = try await spool.send(to: ["user@normal.example"], content)
        await spool.events.waitForAttempts(1)

        #expect(content.count > 3 << 20)
        let record = try #require(spool.sites.records.first)
        #expect(Array(record.content.suffix(content.count)) == content)
        #expect(String(decoding: record.content.prefix(30), as: UTF8.self).hasPrefix("Received: from client.example"))
        #expect(spool.events.attempts.first?.id == id)
        #expect(spool.files("active").isEmpty && spool.files("incoming").isEmpty)
        await spool.stop()
    }

    @Test func anAbandonedMessageLeavesNothing() async throws {
        let spool = try await Spool.open()
        let writer = try await spool.queue.intake.begin(spool.envelope(to: ["user@customer.example"]))
        for _ in 0..<10 { try await writer.append([UInt8](repeating: 0x61, count: 60_000)) }
        #expect(spool.files("tmp").count == 1)

        await writer.abandon()

        #expect(spool.files("tmp").isEmpty)
        #expect(try await spool.scanned().isEmpty)
        #expect(spool.events.all.isEmpty)
        await spool.stop()
    }

    @Test(arguments: [47, 48, 49, 60]) func aMessageThatLoopsIsRefused(_ lines: Int) async throws {
        let spool = try await Spool.open()
        let content = String(repeating: "Received: from somewhere\r\n\tby elsewhere\r\n", count: lines) + "\r\nbody\r\n"

        if lines < 49 {
            try await spool.send(to: ["user@customer.example"], Array(content.utf8))
        } else {
            let reply = await #expect(throws: SMTPReply.self) { try await spool.send(to: ["user@customer.example"], Array(content.utf8)) }
            #expect(reply?.code == 554)
            #expect(reply?.enhanced == "5.4.6")
            #expect(spool.files("deferred").isEmpty && spool.files("tmp").isEmpty)
        }
        await spool.stop()
    }

    @Test(arguments: [DiskOperation.create, .write, .sync, .move, .syncFolder], [20, 300_000])
    func aFullDiskIs452AndLeavesNothing(_ operation: DiskOperation, _ size: Int) async throws {
        let fails = Mutex(false)
        let spool = try await Spool.open(fault: { $0 == operation && fails.withLock { $0 } ? 28 : nil })  // ENOSPC
        let content = Array("Subject: x\r\n\r\n".utf8) + [UInt8](repeating: 0x61, count: size)
        fails.withLock { $0 = true }

        await #expect(throws: SpoolQueue.noRoom) { try await spool.send(to: ["user@customer.example"], content) }

        fails.withLock { $0 = false }
        #expect(SpoolFolder.allCases.flatMap { spool.files($0.name) }.isEmpty)
        #expect(try await spool.scanned().isEmpty)
        #expect(spool.events.all.isEmpty)
        try await spool.send(to: ["user@customer.example"], content)
        #expect(spool.files("deferred").count == 1)
        await spool.stop()
    }

    @Test func aFailingDiskIs451() async throws {
        let spool = try await Spool.open(fault: { $0 == .sync ? 5 : nil })  // EIO

        let reply = await #expect(throws: SMTPReply.self) { try await spool.send(to: ["user@customer.example"]) }

        #expect(reply?.code == 451)
        #expect(spool.files("tmp").isEmpty)
        await spool.stop()
    }

    @Test func manyConnectionsCommitAtOnceWithFewDirectorySyncs() async throws {
        let syncs = Mutex(0)
        let spool = try await Spool.open(fault: { operation in
            if operation == .syncFolder { syncs.withLock { $0 += 1 } }
            return nil
        })
        let before = syncs.withLock { $0 }

        let ids = try await withThrowingTaskGroup(of: QueueID.self) { group in
            for _ in 0..<100 { group.addTask { try await spool.send(to: ["user@customer.example"]) } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }

        #expect(ids.count == 100)
        #expect(spool.files("deferred").count == 100)
        #expect(syncs.withLock { $0 } - before < 100)
        await spool.stop()
    }

    @Test func takesNothingWhileItIsNotRunning() async throws {
        let spool = try await Spool.open()
        await spool.stop()

        let reply = await #expect(throws: SMTPReply.self) { try await spool.send(to: ["user@customer.example"]) }
        #expect(reply?.code == 451)
    }
}
