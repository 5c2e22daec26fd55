// The queue file's format: what was written is read, and nothing else passes for it.

import FlushCore
import Glibc
import Testing

@testable import SpoolQueue

@Suite struct SpoolFileTests {
    let id = QueueID("0abcDEFghi1")!

    private func envelope(recipients: Int = 3, size: Int = 5) -> SpoolEnvelope {
        SpoolEnvelope(
            id: id, arrival: Timestamp(microseconds: 1_790_000_000_123_456), size: size, body: .eightBit, sender: "\"odd one\"@origin.example",
            client: "192.0.2.1:4711", helo: "client.example",
            recipients: (0..<recipients).map { SpoolEnvelope.Recipient(address: "user\($0)@customer.example") })
    }

    private func read(_ bytes: [UInt8], fileSize: Int? = nil) throws(SpoolError) -> SpoolEnvelope {
        let size = fileSize ?? bytes.count
        let layout = try SpoolFile.layout(bytes, fileSize: size)
        return try SpoolFile.envelope(bytes, layout: layout, id: id, fileSize: size)
    }

    @Test func readsBackWhatItWrote() throws {
        var envelope = envelope()
        envelope.recipients[0].status = .delivered
        envelope.recipients[1].status = .reportOwed
        envelope.recipients[2].status = .reported

        #expect(try read(SpoolFile.head(of: envelope) + Array("hello".utf8)) == envelope)
    }

    @Test func readsBackAReport() throws {
        var envelope = envelope(recipients: 1)
        envelope.sender = ""
        envelope.report = SpoolEnvelope.Report(
            original: QueueID("orig")!, sender: "alice@origin.example", failed: ["a@b.example", "c@d.example"], reason: "550 no")

        #expect(try read(SpoolFile.head(of: envelope) + Array("hello".utf8)) == envelope)
    }

    @Test func theHeadHasTheSameLengthWhateverTheSize() {
        #expect(SpoolFile.head(of: envelope(size: 0)).count == SpoolFile.head(of: envelope(size: 999_999_999)).count)
    }

    @Test func holdsFiveThousandOfTheLongestRecipients() throws {
        var envelope = envelope(recipients: 1)
        let long = String(repeating: "a", count: 255) + "@" + String(repeating: "b", count: 255)
        envelope.recipients = Array(repeating: .init(address: long), count: 5_000)

        #expect(try read(SpoolFile.head(of: envelope) + Array("hello".utf8)) == envelope)
    }

    @Test func everyTruncationIsFound() {
        let whole = SpoolFile.head(of: envelope()) + Array("hello".utf8)
        for length in 0..<whole.count {
            #expect(throws: SpoolError.self, "cut to \(length)") { try read(Array(whole[..<length])) }
        }
        #expect(throws: SpoolError.self) { try read(whole + [0]) }
    }

    @Test func everyFlippedBitOfTheEnvelopeIsFound() throws {
        let whole = SpoolFile.head(of: envelope()) + Array("hello".utf8)
        let layout = try SpoolFile.layout(whole, fileSize: whole.count)
        for offset in 0..<layout.content {
            for bit in 0..<8 {
                var damaged = whole
                damaged[offset] ^= 1 << bit
                #expect(throws: SpoolError.self, "bit \(bit) of byte \(offset)") { try read(damaged) }
            }
        }
    }

    @Test(arguments: [
        "", "etrnd-spool 1 ", "etrnd-spool 2 0000000060 0000000070 0123456789abcdef\n",
        "etrnd-spool 1 9999999999 9999999999 0123456789abcdef\n", "etrnd-spool 1 -000000001 0000000070 0123456789abcdef\n",
        "etrnd-spool 1 0000000054 0008388609 0123456789abcdef\n", "etrnd-spool 1 0000000054 0000000055 0123456789abcdef\n",
        "From alice@origin.example Sun Nov 22 18:00:00 2026\nSubject: an mbox, long enough to be looked at\n\n",
    ])
    func isNotFooledBy(_ text: String) {
        #expect(throws: SpoolError.self) { try read(Array(text.utf8)) }
        #expect(throws: SpoolError.self) { try read(Array(text.utf8), fileSize: 1 << 40) }
    }

    @Test func aFileUnderAnotherNameIsDamaged() throws {
        let bytes = SpoolFile.head(of: envelope()) + Array("hello".utf8)
        let layout = try SpoolFile.layout(bytes, fileSize: bytes.count)
        #expect(throws: SpoolError.damaged("it is the queue file of \(id)")) {
            try SpoolFile.envelope(bytes, layout: layout, id: QueueID("another")!, fileSize: bytes.count)
        }
    }

    @Test func controlCharactersCannotForgeALine() throws {
        var envelope = envelope(recipients: 1)
        envelope.helo = "x\nrcpt victim@customer.example\r\n"

        let read = try read(SpoolFile.head(of: envelope) + Array("hello".utf8))

        #expect(read.recipients.count == 1)
        #expect(read.helo == "x?rcpt victim@customer.example??")
    }

    // MARK: IDs

    @Test func idsGrowEvenWhenTheClockDoesNot() {
        var maker = SpoolID()
        let time = Timestamp(seconds: 1_790_000_000)
        let ids = (0..<1_000).map { maker.next(at: Timestamp(microseconds: time.microseconds - Int64($0))) }

        #expect(ids == ids.sorted())
        #expect(Set(ids).count == ids.count)
        #expect(ids.allSatisfy { $0.description.utf8.count == 11 })
    }

    @Test func idsGoOnFromTheNewestOneInTheSpool() {
        var before = SpoolID()
        let old = before.next(at: Timestamp(seconds: 1_790_000_000))
        var after = SpoolID()
        after.noteExisting(old)

        #expect(after.next(at: Timestamp(seconds: 1_000_000_000)) > old)
    }

    @Test func aReportsIDFollowsFromTheOriginals() {
        let first = SpoolID.report(of: id, reported: 0)
        #expect(first == SpoolID.report(of: id, reported: 0))
        #expect(first != SpoolID.report(of: id, reported: 1))
        #expect(first.description.utf8.count <= 15)
    }

    // MARK: Notes and dates

    @Test func notesAreReadBackAndStayBounded() {
        let note = AttemptNotes.Note(at: Timestamp(seconds: 1), recipient: "a@b.example", result: "deferred", text: "connect:\trefused\n")
        var bytes: [UInt8] = []
        for _ in 0..<5_000 { bytes = AttemptNotes.joined(bytes, AttemptNotes.render([note])) }

        let parsed = AttemptNotes.parse(bytes)

        #expect(bytes.count <= AttemptNotes.maximumBytes)
        #expect(parsed.count > 400)
        #expect(parsed.allSatisfy { $0.recipient == "a@b.example" && $0.text == "connect:?refused?" })
        #expect(AttemptNotes.parse(Array("nonsense\n1\tsaid\tx\ty\nx\tdeferred\ta\tb\n\n\u{0}".utf8)).isEmpty)
    }

    @Test(arguments: [
        (Int64(0), "Thu, 1 Jan 1970 00:00:00 +0000"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (1_795_370_405, "Sun, 22 Nov 2026 18:00:05 +0000"), (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
        (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
    ])
    func writesDates(_ seconds: Int64, _ text: String) {
        #expect(MailDate.text(Timestamp(seconds: seconds)) == text)
    }

    // MARK: Pure parts

    @Test func countsReceivedLinesWhateverThePieces() {
        let content = Array("Received: a\r\n\tby b\r\nX-Received: no\r\nreceived : two\r\nReceivedd: no\r\nRECEIVED:x\r\n\r\nReceived: body\r\n".utf8)
        for piece in 1...content.count {
            var counter = HopCounter()
            for start in stride(from: 0, to: content.count, by: piece) {
                counter.scan(Array(content[start..<min(start + piece, content.count)]))
            }
            #expect(counter.received == 3, "pieces of \(piece)")
        }
    }

    @Test func theScheduleGivesWhatIsDueInOrder() {
        var schedule = RetrySchedule()
        var numbers = SystemRandomNumberGenerator()
        for _ in 0..<1_000 { schedule.add(id, at: Timestamp(seconds: Int64.random(in: 0..<500, using: &numbers))) }

        var taken: [Timestamp] = []
        while let item = schedule.takeDue(at: Timestamp(seconds: 249)) { taken.append(item.time) }

        #expect(taken == taken.sorted())
        #expect(taken.allSatisfy { $0.seconds <= 249 })
        #expect((schedule.first?.time.seconds ?? 500) > 249)
        #expect(taken.count + schedule.count == 1_000)
    }

    @Test func backsOffByAgeWithinTheLimits() {
        let parameters = SpoolParameters(myhostname: "relay.example")
        let arrival = Timestamp(seconds: 1_000)
        func wait(after age: Int64) -> Duration {
            RetrySchedule.backoff(arrival: arrival, now: Timestamp(seconds: 1_000 + age), parameters: parameters)
        }
        #expect(wait(after: 0) == .seconds(300))
        #expect(wait(after: 1_000) == .seconds(1_000))
        #expect(wait(after: 100_000) == .seconds(4_000))
        #expect(wait(after: -50) == .seconds(300))
    }

    @Test func oneLaneTakesHalfOfTheSlotsAtMost() {
        var lanes = DeliveryLanes<String, Int>(total: 20)
        for key in ["one", "other"] {
            for number in 0..<100 { lanes.add(number, to: key) }
        }
        var running: [String] = []
        while let next = lanes.next() { running.append(next.key) }
        // Nobody has answered yet.
        #expect(running.count { $0 == "one" } == 2)
        #expect(running.count { $0 == "other" } == 2)

        lanes.finished("one", answered: true)
        while let next = lanes.next() { running.append(next.key) }
        #expect(running.count { $0 == "one" } == 11, "ten run, one has ended")
        #expect(running.count { $0 == "other" } == 2)

        lanes.finished("other", answered: true)
        while let next = lanes.next() { running.append(next.key) }
        #expect(running.count { $0 == "other" } == 11)
        #expect(lanes.running == 20)

        lanes.finished("other", answered: true)
        #expect(lanes.next()?.key == "other")
        #expect(lanes.next() == nil)
    }

    @Test func lanesThatNobodyAnswersForLeaveSlotsToThoseThatAnswer() {
        var lanes = DeliveryLanes<String, Int>(total: 20)
        for site in 0..<9 {
            for number in 0..<100 { lanes.add(number, to: "mute\(site)") }
        }
        while lanes.next() != nil {}
        #expect(lanes.running == 18)

        lanes.add(1, to: "alive")
        #expect(lanes.next()?.key == "alive")
        lanes.finished("alive", answered: true)
        lanes.add(2, to: "alive")
        #expect(lanes.next()?.key == "alive")

        // One that answered once and is mute now is as good as one that never did.
        lanes.finished("alive", answered: false)
        for number in 3..<10 { lanes.add(number, to: "alive") }
        while lanes.next() != nil {}
        #expect(lanes.running == 20)
    }

    @Test func lanesTakeTurnsAndLoseNothing() {
        var lanes = DeliveryLanes<Int, Int>(total: 4)
        for number in 0..<3_000 { lanes.add(number, to: number % 7) }
        var seen: [Int: [Int]] = [:]
        while let next = lanes.next() {
            seen[next.key, default: []].append(next.work)
            lanes.finished(next.key, answered: next.work % 3 > 0)
        }
        #expect(seen.values.map(\.count).reduce(0, +) == 3_000)
        #expect(seen.values.allSatisfy { $0 == $0.sorted() })
        #expect(lanes.running == 0)
    }
}
