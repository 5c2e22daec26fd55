// Queue files as Postfix writes them, cut short, twisted and made up.

import FlushCore
import Glibc
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct QueueFileTests {
    private let builder = QueueFileBuilder.self

    private func read(_ bytes: [UInt8]) throws(QueueFileError) -> QueueFile {
        try withRecords(bytes) { records throws(QueueFileError) in try QueueFile(&records) }
    }

    private func pending(_ bytes: [UInt8]) throws(QueueFileError) -> PendingDomains {
        try withRecords(bytes) { records throws(QueueFileError) in try PendingDomains(&records, names: DomainNameCache()) }
    }

    private func withRecords<Result>(
        _ bytes: [UInt8], _ body: (inout QueueRecords) throws(QueueFileError) -> Result
    ) throws(QueueFileError) -> Result {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: QueueRecords.bufferSize, alignment: 16)
        defer { buffer.deallocate() }
        var records = QueueRecords(buffer: buffer) { room, offset in
            guard offset < bytes.count else { return 0 }
            // Short reads are allowed, and tested with.
            let count = min(room.count, bytes.count - offset, 1_000)
            bytes.withUnsafeBytes { room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + count)])) }
            return count
        }
        return try body(&records)
    }

    @Test func readsTheEnvelope() throws {
        let file = try read(builder.message(recipients: ["u@one.test", "v@two.test"], done: ["w@one.test"]))

        #expect(file.sender == "a@sender.test")
        #expect(file.arrival == Timestamp(microseconds: 1_795_374_112_517_661))
        #expect(
            file.recipients == [
                .init(address: "w@one.test", isPending: false), .init(address: "u@one.test", isPending: true),
                .init(address: "v@two.test", isPending: true),
            ])
    }

    @Test func theSizeIsTheContents() throws {
        #expect(try read(builder.message(recipients: ["u@one.test"], bodyLength: 200)).size == 203)
    }

    @Test func theNullSenderIsEmpty() throws {
        #expect(try read(builder.message(sender: "", recipients: ["u@one.test"])).sender.isEmpty)
    }

    /// As postqueue(1) shows them, and as the defer log names them.
    @Test(arguments: [
        ("u@one.test", "u@one.test"), ("a b@one.test", "\"a b\"@one.test"), ("a@b@one.test", "\"a@b\"@one.test"),
        ("a+b.c@one.test", "a+b.c@one.test"),
        (".a@one.test", "\".a\"@one.test"), ("a..b@one.test", "\"a..b\"@one.test"), ("a.@one.test", "\"a.\"@one.test"),
        ("q\"\\x@one.test", "\"q\\\"\\\\x\"@one.test"), ("é@one.test", "é@one.test"), ("@one.test", "\"\"@one.test"), ("local", "local"),
    ])
    func anAddressIsQuotedWhereItHasToBe(_ bare: String, _ shown: String) throws {
        let file = try read(builder.message(sender: bare, recipients: [bare]))

        #expect(file.sender == shown)
        #expect(file.recipients.map(\.address) == [shown])
    }

    @Test func countsPendingRecipientsByDomain() throws {
        let found = try pending(
            builder.message(recipients: ["u@one.test", "v@TWO.test", "w@one.test", "x@[192.0.2.1]", "local"], done: ["d@three.test"]))

        #expect(found.domains == [DomainName("one.test")!, DomainName("two.test")!])
        #expect(found.counts == [2, 1])
    }

    @Test func findsRecipientsBehindTheContent() throws {
        let found = try pending(builder.message(recipients: ["u@one.test"], extracted: ["v@two.test"], bodyLength: 100_000))

        #expect(found.domains.map(\.description) == ["one.test", "two.test"])
    }

    /// A filter's REDIRECT sends the message elsewhere, and only there; Postfix's own `add` names that domain.
    @Test func aRedirectedMessageWaitsForWhereItGoes() throws {
        let bytes = builder.message(recipients: ["u@one.test", "v@two.test"], redirection: "w@three.test")

        let found = try pending(bytes)
        #expect(found.domains.map(\.description) == ["three.test"])
        #expect(found.counts == [1])
        #expect(try read(bytes).recipients.map(\.address) == ["u@one.test", "v@two.test", "w@three.test"])
        let done = try pending(builder.message(recipients: [], done: ["u@one.test"], redirection: "w@three.test"))
        #expect(done.domains.isEmpty)
    }

    @Test func theDomainIsRightOfTheLastAt() throws {
        let found = try pending(builder.message(recipients: ["\"a@b\"@one.test"]))

        #expect(found.domains.map(\.description) == ["one.test"])
    }

    @Test func thousandsOfRecipientsAreRead() throws {
        let found = try pending(builder.message(recipients: (0..<5_000).map { "user\($0)@d\($0 % 100).test" }))

        #expect(found.domains.count == 100)
        #expect(found.counts.allSatisfy { $0 == 50 })
    }

    @Test func aMessageToTenThousandDomainsIsRead() throws {
        let recipients = (0..<10_000).map { "u@d\($0).test" } + (0..<10_000).map { "v@d\($0).test" }

        let found = try pending(builder.message(recipients: recipients))

        #expect(found.domains.count == 10_000)
        #expect(found.counts.allSatisfy { $0 == 2 })
        #expect(try read(builder.message(recipients: recipients)).recipients.count == QueueFile.maximumRecipients)
    }

    @Test func anArrivalMayLackMicroseconds() throws {
        #expect(try read(builder.message(recipients: ["u@one.test"], arrival: "1795374112")).arrival == Timestamp(seconds: 1_795_374_112))
    }

    /// A filter has added a recipient: the envelope jumps to the end of the file, and back.
    @Test func followsPointers() throws {
        let head = builder.record("T", "1795374112") + builder.record("S", "a@sender.test") + builder.record("R", "u@one.test")
        let sizeLength = builder.size(content: 0, offset: 0, recipients: 0).count
        let pointerLength = builder.record("p", builder.padded(0)).count
        let afterPointer = sizeLength + head.count + pointerLength
        let tail = builder.record("M", "") + builder.record("X", "") + builder.record("E", "")
        let added = afterPointer + tail.count
        var bytes = builder.size(content: 0, offset: afterPointer, recipients: 1) + head
        bytes += builder.record("p", builder.padded(added)) + tail
        bytes += builder.record("R", "v@two.test") + builder.record("p", builder.padded(afterPointer))

        #expect(try pending(bytes).domains.map(\.description) == ["one.test", "two.test"])
    }

    @Test func aPointerToNowhereIsNoPointer() throws {
        let bytes =
            builder.size(content: 0, offset: 0, recipients: 1) + builder.record("T", "1795374112")
            + builder.record("p", builder.padded(0)) + builder.record("R", "u@one.test") + builder.record("E", "")

        #expect(try pending(bytes).domains.count == 1)
    }

    // MARK: Hostile

    @Test func pointersInACircleEnd() {
        let size = builder.size(content: 0, offset: 0, recipients: 0)
        let bytes = size + builder.record("T", "1") + builder.record("p", builder.padded(size.count))

        expectCorrupt(bytes)
    }

    @Test func aPointerBehindTheEndIsCorrupt() {
        expectCorrupt(builder.size(content: 0, offset: 0, recipients: 0) + builder.record("p", "999999999999999"))
        expectCorrupt(builder.size(content: 0, offset: 0, recipients: 0) + builder.record("p", "-1"))
        expectCorrupt(builder.size(content: 0, offset: 0, recipients: 0) + builder.record("p", ""))
    }

    @Test func aFileCutAnywhereIsCorrupt() {
        let whole = builder.message(recipients: ["u@one.test"], extracted: ["v@two.test"])

        for length in 0..<whole.count { expectCorrupt(Array(whole[..<length])) }
    }

    @Test func aFlippedByteNeverTraps() {
        let whole = builder.message(recipients: ["u@one.test"], extracted: ["v@two.test"])

        for index in whole.indices {
            for value: UInt8 in [0, 0x7f, 0x80, 0xff, UInt8(ascii: "p"), UInt8(ascii: "M")] {
                var bytes = whole
                bytes[index] = value
                _ = try? read(bytes)
                _ = try? pending(bytes)
            }
        }
    }

    @Test func randomBytesNeverTrap() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            var bytes = builder.size(content: Int.random(in: 0...100), offset: 0, recipients: 0)
            for _ in 0..<Int.random(in: 0...60) {
                bytes.append(Array("CTSRDMXEpwNL/".utf8).randomElement(using: &random)!)
                bytes.append(UInt8.random(in: 0...20, using: &random))
                bytes += (0..<Int.random(in: 0...20)).map { _ in UInt8.random(in: 0x20...0x40, using: &random) }
            }
            _ = try? read(bytes)
        }
    }

    @Test func aSizeBeyondReasonIsCorrupt() {
        let bytes =
            builder.record("C", "999999999999999999999999 1 1") + builder.record("T", "1") + builder.record("M", "")
        expectCorrupt(bytes)
        expectCorrupt(builder.record("C", "\(Int.max) 1 1") + builder.record("T", "1") + builder.record("M", ""))
    }

    @Test func aLengthWithoutEndIsCorrupt() {
        expectCorrupt([0x43, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    }

    @Test func whatIsNoQueueFileIsCorrupt() {
        expectCorrupt([])
        expectCorrupt(Array("From: somebody\n\nHello".utf8))
        expectCorrupt([UInt8](repeating: 0, count: 10_000))
    }

    private func expectCorrupt(_ bytes: [UInt8], _ location: SourceLocation = #_sourceLocation) {
        do throws(QueueFileError) {
            _ = try pending(bytes)
            Issue.record("it was taken for a message", sourceLocation: location)
        } catch {
            guard case .corrupt = error else {
                Issue.record("\(error)", sourceLocation: location)
                return
            }
        }
    }
}

@Suite(.timeLimit(.minutes(5))) struct DeferLogTests {
    private let log = """

        <user0001@customer.test>: connect to 127.0.0.1[127.0.0.1]:12526: Connection refused
        recipient=user0001@customer.test
        offset=637
        dsn_orig_rcpt=rfc822;user0001@customer.test
        status=4.4.1
        action=delayed
        reason=connect to 127.0.0.1[127.0.0.1]:12526: Connection refused

        <b@other.test>: host said: 451 later
        recipient=b@other.test
        reason=host said: 451 a=b later

        """

    @Test func tellsTheReasonOfEachRecipient() {
        #expect(
            DeferLog(Array(log.utf8)).reasons == [
                "user0001@customer.test": "connect to 127.0.0.1[127.0.0.1]:12526: Connection refused", "b@other.test": "host said: 451 a=b later",
            ])
    }

    @Test func aReasonIsOneBoundedLineWithoutControlCharacters() {
        let text = "recipient=a@b\nreason=evil\u{1b}[31m\u{9b}\t\(String(repeating: "é", count: 1_000))\n"

        let reason = DeferLog(Array(text.utf8)).reasons["a@b"] ?? ""

        #expect(reason.hasPrefix("evil [31m  é"))
        #expect(reason.utf8.count <= 500)
    }

    @Test func nonsenseIsSkipped() {
        #expect(DeferLog([0xff, 0x0a, 0x0a, 0x00]).entries.isEmpty)
        #expect(DeferLog(Array("reason=without a recipient\n\nrecipient=without a reason\n".utf8)).entries.isEmpty)
    }
}

@Suite(.timeLimit(.minutes(5))) struct MainCfTests {
    @Test func readsWhatPostconfPrints() {
        let text = """
            queue_directory = /var/spool/postfix
            hash_queue_names = deferred, defer incoming
            hash_queue_depth = 2
            flush_service_name = etrnd
            smtpd_etrn_restrictions =
            postconf: warning: nosuch: unknown parameter
            """

        let settings = MainCf(parsing: text)

        #expect(settings.layout == QueueLayout(queueDirectory: "/var/spool/postfix", hashedNames: ["deferred", "defer", "incoming"], depth: 2))
        #expect(settings.flushSocketPath == "/var/spool/postfix/public/etrnd")
        #expect(settings["smtpd_etrn_restrictions"] == "")
        #expect(settings["mail_version"] == nil)
        #expect(!settings.asksNativeFlush)
    }

    @Test(arguments: ["queue_directory = /q", "queue_directory = /q\nflush_service_name = flush"])
    func weNeverListenInFlushsOwnPlace(_ text: String) {
        let settings = MainCf(parsing: text)

        #expect(settings.asksNativeFlush)
        #expect(settings.flushSocketPath == "/q/public/etrnd")
    }

    @Test func aDirectoryWithoutMainCfIsAnError() {
        #expect(throws: MainCfError.self) { try MainCf.read(configurationDirectory: "/nonexistent") }
    }
}
