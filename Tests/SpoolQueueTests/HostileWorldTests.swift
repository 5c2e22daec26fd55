// Clocks that are set, disks that fail at the wrong moment, files and servers that mean no good.

import CurlTransport
import FlushCore
import FlushTesting
import Glibc
import SMTPServer
import Synchronization
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct HostileWorldTests {
    /// Fails chosen calls of one operation, and counts them.
    private final class FailingDisk: Sendable {
        private let calls = Mutex(0)
        private let operation: DiskOperation
        private let fails: @Sendable (Int) -> Bool

        init(_ operation: DiskOperation, fails: @escaping @Sendable (_ call: Int) -> Bool) {
            self.operation = operation
            self.fails = fails
        }

        var count: Int { calls.withLock { $0 } }

        func fault(_ operation: DiskOperation) -> CInt? {
            guard operation == self.operation else { return nil }
            let call = calls.withLock { calls in
                calls += 1
                return calls
            }
            return fails(call) ? EROFS : nil
        }
    }

    // MARK: Clocks

    @Test(arguments: [true, false]) func aClockThatIsSetBackDelaysNobodyForLong(_ isSiteDown: Bool) async throws {
        let spool = try await Spool.open()
        if isSiteDown {
            spool.sites.setDown("mail.normal.example", "down")
        } else {
            spool.sites.answer("a@normal.example", .deferred(reason: "450"))
        }
        try await spool.send(to: ["a@normal.example"])
        await spool.events.waitForAttempts(1)
        spool.sites.setDown("mail.normal.example", nil)
        spool.sites.answer("a@normal.example", nil)

        spool.time.jump(by: .seconds(-30 * 86_400))
        // At most the longest back-off, and some more.
        for _ in 0..<60 where spool.events.attempts.count < 2 { await spool.time.advance(by: .seconds(300)) }

        #expect(spool.sites.records.count == 1)
        await spool.stop()
    }

    @Test func whoWaitsForATimeOfTheOldClockIsNotHiddenByThoseOfTheNewOne() async throws {
        let spool = try await Spool.open()
        for user in ["old", "new"] { spool.sites.answer("\(user)@normal.example", .deferred(reason: "450")) }
        try await spool.send(to: ["old@normal.example"])
        await spool.events.waitForAttempts(1)

        spool.time.jump(by: .seconds(-30 * 86_400))
        // Put off again and again, and so always the next one who is due.
        try await spool.send(to: ["new@normal.example"])
        await spool.events.waitForAttempts(2)
        spool.sites.answer("old@normal.example", nil)
        for _ in 0..<60 where spool.sites.records.isEmpty { await spool.time.advance(by: .seconds(300)) }

        #expect(spool.sites.records.map(\.recipients) == [["old@normal.example"]])
        await spool.stop()
    }

    // MARK: Disks

    @Test func anExpiredMessageOnADiskThatTakesNothingIsNotTriedWithoutPause() async throws {
        let disk = FailingDisk(.writeStatus) { _ in true }
        let spool = try await Spool.open(fault: { disk.fault($0) }, parameters: { $0.maximalQueueLifetime = .seconds(600) })
        try await spool.send(to: ["user@customer.example"])

        await spool.time.advance(by: .seconds(1_000))
        await spool.events.waitForAttempts(1)
        for _ in 0..<200 { await spool.time.advance(by: .zero) }

        #expect((1...3).contains(disk.count), "\(disk.count) tries")
        #expect(spool.files("deferred").count == 1)
        await spool.stop()
    }

    @Test func aReportTellsOfEverybodyEvenWhenTheDiskDidNotTakeItsFirstMark() async throws {
        // The first mark is the refusal, the second that the report has been made.
        let disk = FailingDisk(.writeStatus) { $0 == 2 }
        let spool = try await Spool.open(fault: { disk.fault($0) })
        spool.sites.answer("never@normal.example", .bounced(reply: "550 5.1.1 never"))
        spool.sites.answer("later@normal.example", .deferred(reason: "450 later"))
        try await spool.send(to: ["never@normal.example", "later@normal.example"])
        await spool.events.waitForAttempts(1)

        spool.sites.answer("later@normal.example", .bounced(reply: "554 no"))
        await spool.time.advance(by: .seconds(301))
        await spool.events.waitForAttempts(2)

        let reports = try await spool.queue.bounces(after: nil, limit: 10)
        #expect(reports.map(\.recipients) == [["never@normal.example", "later@normal.example"]])
        await spool.stop()
    }

    @Test func aReleaseDuringALookAtTheFileIsARelease() async throws {
        let isOpen = Mutex(true)
        let gate = DispatchGate()
        let spool = try await Spool.open(fault: { operation in
            if operation == .open, !isOpen.withLock({ $0 }) { gate.pass() }
            return nil
        })
        let id = try await spool.send(to: ["user@customer.example"])
        rename(spool.path("deferred/\(id)"), spool.path("incoming/\(id)"))
        isOpen.withLock { $0 = false }
        async let scan = spool.scanned()
        await gate.waitForVisitor()

        async let released = spool.release([id])
        for _ in 0..<100 { await Task.yield() }
        isOpen.withLock { $0 = true }
        gate.open()

        #expect(try await released == [.released])
        _ = try await scan
        await spool.events.waitForAttempts(1)
        await spool.stop()
    }

    // MARK: Files

    @Test func aTimeThatNoClockShowsIsDamage() throws {
        let id = QueueID("0abcDEFghi1")!
        for arrival in [Int64.max, Timestamp.latest.microseconds + 1] {
            let bytes = SpoolFile.head(
                of: SpoolEnvelope(id: id, arrival: Timestamp(microseconds: arrival), size: 0, sender: "", recipients: [.init(address: "a@b.example")])
            )
            let layout = try SpoolFile.layout(bytes, fileSize: bytes.count)
            #expect(throws: SpoolError.self) { try SpoolFile.envelope(bytes, layout: layout, id: id, fileSize: bytes.count) }
        }
        #expect(AttemptNotes.parse(Array("9223372036854775807\tdeferred\ta@b.example\tx\n-5\tdeferred\ta@b.example\tx\n".utf8)).isEmpty)
        #expect(Timestamp(timespec(tv_sec: Int.max, tv_nsec: 0)) == .latest)
        #expect(Timestamp(timespec(tv_sec: Int.min, tv_nsec: 0)) == Timestamp(seconds: 0))
    }

    @Test func anIDWithoutRoomForAReportsIDIsDamage() async throws {
        let spool = try await Spool.open()
        await spool.stop()
        let id = QueueID(String(repeating: "z", count: QueueID.maximumLength))!
        write(
            SpoolFile.head(of: SpoolEnvelope(id: id, arrival: spool.time.now, size: 0, sender: "", recipients: [.init(address: "a@normal.example")])),
            to: spool.path("deferred/\(id)"))

        let again = try await spool.reopened()

        #expect(again.start.corrupt == 1 && again.start.messages == 0)
        await again.stop()
    }

    @Test func newIDsAreNeverThoseOfFilesThatCouldNotBeRead() async throws {
        let spool = try await Spool.open()
        let ahead = SpoolID.text(spool.time.now.microseconds + 50_000_000)
        await spool.stop()
        mkdir(spool.path("deferred/\(ahead)00"), 0o700)
        chmod(spool.path("deferred/\(ahead)00"), 0)

        let again = try await spool.reopened()

        #expect(try await again.send(to: ["a@customer.example"]) > QueueID("\(ahead)zz")!)
        await again.stop()
    }

    @Test func eachReportOfTheLargestMessageHasAnIDOfItsOwn() {
        let ids = Set((0...SpoolFile.maximumRecipients).map { SpoolID.report(of: QueueID("o1")!, reported: $0) })
        #expect(ids.count == SpoolFile.maximumRecipients + 1)
    }

    // MARK: Envelopes

    @Test func asManyOfTheLongestRecipientsAsAreTakenFitIntoAFile() throws {
        let id = QueueID("0abcDEFghi1")!
        let long = String(repeating: "a", count: 255) + "@" + String(repeating: "b", count: 255)
        var envelope = SpoolEnvelope(
            id: id, arrival: Timestamp(seconds: 1), size: 0, sender: long,
            recipients: Array(repeating: .init(address: long), count: SpoolFile.maximumRecipients))
        for _ in 0..<2 {
            let bytes = SpoolFile.head(of: envelope)
            let layout = try SpoolFile.layout(bytes, fileSize: bytes.count)
            #expect(try SpoolFile.envelope(bytes, layout: layout, id: id, fileSize: bytes.count) == envelope)
            // And the report about all of them.
            envelope.report = .init(original: id, sender: long, failed: envelope.recipients.map(\.address), reason: "550 no")
            envelope.recipients = [.init(address: long)]
        }
    }

    @Test func theHeadKeepsItsLengthUpToTheLargestMessageSize() {
        func head(_ size: Int) -> [UInt8] {
            SpoolFile.head(
                of: SpoolEnvelope(
                    id: QueueID("a1")!, arrival: Timestamp(seconds: 1), size: size, sender: "", recipients: [.init(address: "a@b.example")]))
        }
        #expect(head(0).count == head(1 << 40 + 4_096).count)
    }

    /// Postfix's `allow_untrusted_routing = no`: the site behind us may take the local part for a route to somewhere else.
    @Test(arguments: [
        "user%elsewhere.example@customer.example", "elsewhere.example!user@customer.example", "\"user@elsewhere.example\"@customer.example",
    ])
    func aRouteInTheLocalPartIsNoWayToElsewhere(_ recipient: String) async throws {
        let spool = try await Spool.open()

        let reply = await spool.queue.intake.checkRecipient(SMTPPath(recipient)!, in: spool.envelope(to: []))

        #expect(reply?.code == 554)
        #expect(reply?.lines == ["<\(recipient)>: Relay access denied"])
        await spool.stop()
    }

    @Test func noMailIsTakenForANextHopThatCannotBeUsed() async throws {
        let spool = try await Spool.open()
        spool.routes["customer.example"]?.nextHop = try NextHop(parsing: "mail.customer.example:25")

        let reply = await spool.queue.intake.checkRecipient(SMTPPath("user@customer.example")!, in: spool.envelope(to: []))

        #expect(reply?.code == 450)
        #expect(reply?.lines.first?.contains("MX") == true)
        await spool.stop()
    }

    // MARK: Servers

    @Test func aServerIsAskedForNoMoreRecipientsAtOnceThanItMustTake() async throws {
        let spool = try await Spool.open()
        let recipients = (0..<250).map { "u\($0)@normal.example" }

        try await spool.send(to: recipients)
        await spool.events.waitForAttempts(1)

        #expect(spool.sites.records.map(\.recipients.count) == [100, 100, 50])
        #expect(spool.sites.records.flatMap(\.recipients) == recipients)
        #expect(spool.events.attempts.map { $0.outcomes.map(\.delivered) } == [[250]])
        await spool.stop()
    }

    @Test(arguments: [CurlResult.Ending.noResources("no descriptors"), .invalid("no"), .uploadFailed("EIO")])
    func ourOwnTroubleSpeaksNotAgainstTheSite(_ ending: CurlResult.Ending) {
        #expect(DeliveryTranscript(CurlResult(ending: ending), host: "h", port: 25).siteReached)
    }
}

/// Holds a thread up until it is opened.
private final class DispatchGate: Sendable {
    private let state = Mutex<(visitors: Int, isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((0, false, []))

    func pass() {
        let waiting = state.withLock { state in
            state.visitors += 1
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
        // Bounded: a test that fails must not keep the thread.
        for _ in 0..<20_000 where !state.withLock({ $0.isOpen }) { usleep(500) }
    }

    func waitForVisitor() async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.visitors == 0 { state.waiting.append(continuation) }
                return state.visitors > 0
            }
            if isThere { continuation.resume() }
        }
    }

    func open() { state.withLock { $0.isOpen = true } }
}
