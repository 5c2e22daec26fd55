// Between the start and the first scan: mail is taken and asked for, while what waits is still to be read.

import FlushCore
import FlushTesting
import Glibc
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct FirstScanTests {
    @Test func mailIsTakenBeforeWhatWaitsIsRead() async throws {
        let before = try await Spool.open()
        let old = try await before.send(to: ["a@customer.example"])
        let spool = try await before.reopened(isRead: false)

        #expect(await spool.queue.trouble() == nil)
        #expect(await spool.queue.entries.isEmpty)
        let new = try await spool.send(to: ["b@customer.example"])

        #expect(try await Set(spool.scanned().map(\.id)) == [old, new])
        #expect(try await Set(spool.scanned().map(\.id)) == [old, new])
        await spool.stop()
    }

    @Test func nothingIsDeliveredBeforeEverythingIsKnown() async throws {
        let before = try await Spool.open()
        let old = try await before.send(to: ["a@customer.example"])
        let other = try await before.send(to: ["b@customer.example"])
        let spool = try await before.reopened(isRead: false)

        // One that is asked for by its name is found on the disk; the other is read with all the rest.
        #expect(try await spool.release([old]) == [.released])
        let new = try await spool.send(to: ["c@normal.example"])
        #expect(spool.sites.records.isEmpty)

        #expect(try await Set(spool.scanned().map(\.id)) == [old, other, new])
        await spool.events.waitForAttempts(2)
        #expect(Set(spool.sites.records.flatMap(\.recipients)) == ["a@customer.example", "c@normal.example"])
        #expect(spool.files("deferred") == ["\(other)"])
        await spool.stop()
    }

    @Test func whatIsRemovedBeforeItIsReadStaysRemoved() async throws {
        let before = try await Spool.open()
        let old = try await before.send(to: ["a@customer.example"])
        let other = try await before.send(to: ["b@customer.example"])
        let spool = try await before.reopened(isRead: false)

        try await spool.queue.remove(old)

        #expect(try await spool.scanned().map(\.id) == [other])
        #expect(await spool.queue.entries.count == 1)
        await spool.stop()
    }

    @Test func theInterruptedAndTheHeldAreToldByTheFirstScanToo() async throws {
        let before = try await Spool.open()
        let interrupted = try await before.send(to: ["a@customer.example"])
        let held = try await before.send(to: ["b@customer.example"])
        let waiting = try await before.send(to: ["c@customer.example"])
        await before.stop()
        #expect(rename(before.path("deferred/\(interrupted)"), before.path("active/\(interrupted)")) == 0)
        #expect(rename(before.path("deferred/\(held)"), before.path("hold/\(held)")) == 0)
        let spool = try await before.reopened(isRead: false)

        #expect(spool.start.interrupted == 1)
        let told = try await spool.scanned()
        #expect(Set(told.map(\.id)) == [interrupted, held, waiting])
        #expect(told.filter { $0.place == .held }.map(\.id) == [held])
        await spool.stop()
    }

    @Test func aScanThatAStopInterruptsIsNoScan() async throws {
        let before = try await Spool.open()
        try await before.send(to: ["a@customer.example"])
        let spool = try await before.reopened(isRead: false)

        await spool.stop()

        await #expect(throws: MailQueueError.self) { _ = try await spool.scanned() }
    }
}
