// What the server does with too many clients, slow ones and greedy ones, on a real port.

import DispatchSockets
import SocketTesting
import Synchronization
import Testing

@testable import SMTPServer

@Suite(.timeLimit(.minutes(5))) struct SMTPServerLimitsTests {
    @Test func aClientHasOnlySoManyConnections() async throws {
        var limits = SMTPLimits()
        limits.maximumConnectionsPerClient = 2
        let gone = Signal()
        try await serving(RecordingIntake(), limits, events: { if case .disconnected = $0 { gone.fire() } }) { _, address in
            let first = try await TestClient.connect(to: address)
            let second = try await TestClient.connect(to: address)
            _ = try await first.reply()
            _ = try await second.reply()
            let third = try await TestClient.connect(to: address)
            #expect(try await third.rest() == "421 4.7.0 mail.example Too many connections, try again later\r\n")

            #expect(try await first.code(of: "QUIT") == "221")
            first.closeOutput()
            await gone.wait()

            let fourth = try await TestClient.connect(to: address)
            #expect(try await fourth.reply().hasPrefix("220 "))
        }
    }

    @Test func theServerHasOnlySoManyConnections() async throws {
        var limits = SMTPLimits()
        limits.maximumConnections = 1
        try await serving(RecordingIntake(), limits) { _, address in
            let first = try await TestClient.connect(to: address)
            _ = try await first.reply()
            for _ in 0..<20 {
                let next = try await TestClient.connect(to: address)
                #expect(try await next.rest().hasPrefix("421 4.7.0 "))
            }
            #expect(try await first.code(of: "NOOP") == "250")
        }
    }

    @Test func aLineThatIsNeverFinishedTimesOut() async throws {
        var limits = SMTPLimits()
        limits.commandTimeout = .milliseconds(150)
        try await serving(RecordingIntake(), limits) { _, address in
            let client = try await TestClient.connect(to: address)
            // Bytes come all the time, but never a line: the deadline does not move.
            let drip = Task {
                for _ in 0..<10_000 { _ = try await client.sendUntilStalled([UInt8(ascii: "x")], milliseconds: 10) }
            }
            let text = try await client.rest()
            drip.cancel()

            #expect(text.hasPrefix("220 mail.example ESMTP\r\n4"))
            #expect(text.contains("\r\n421 4.4.2 ") || text.contains("\r\n421 4.7.0 "))
        }
    }

    @Test func aPauseInTheContentTimesOut() async throws {
        var limits = SMTPLimits()
        limits.dataTimeout = .milliseconds(150)
        let intake = RecordingIntake()
        try await serving(intake, limits) { _, address in
            let client = try await TestClient.connect(to: address)
            try await client.send(untilData + "x")

            #expect(try await client.rest().contains("\r\n421 4.4.2 "))
        }
        #expect(intake.abandoned == 1)
    }

    @Test func anIntakeThatDoesNotAnswerEndsTheConnection() async throws {
        var limits = SMTPLimits()
        limits.intakeTimeout = .milliseconds(150)
        let gate = Gate()
        try await serving(RecordingIntake(holdSender: gate), limits) { _, address in
            let client = try await TestClient.connect(to: address)
            try await client.send("HELO a\r\nMAIL FROM:<a@b.example>\r\n")

            #expect(try await client.rest() == "220 mail.example ESMTP\r\n250 mail.example\r\n")
            gate.open()
        }
    }

    @Test func aSlowWriterStopsTheClient() async throws {
        var limits = SMTPLimits()
        limits.maximumMessageSize = 100_000_000
        let gate = Gate()
        let intake = RecordingIntake(holdAppend: gate)
        let content = Array(String(repeating: String(repeating: "x", count: 998) + "\r\n", count: 4_000).utf8)
        try await serving(intake, limits) { _, address in
            let client = try await TestClient.connect(to: address)
            try await client.send(untilData)
            _ = try await client.replies(5)

            let sent = try await client.sendUntilStalled(content, milliseconds: 300)
            #expect(sent < content.count, "nothing held the client up")
            gate.open()
            try await client.send(content[sent...])
            #expect(try await client.code(of: ".") == "250")
        }
        #expect(intake.messages.first?.utf8.count == content.count)
    }

    @Test func aClientThatDoesNotReadIsHeldUp() async throws {
        var limits = SMTPLimits()
        limits.maximumCommands = .max
        try await serving(RecordingIntake(), limits) { _, address in
            let client = try await TestClient.connect(to: address)
            let sent = try await client.sendUntilStalled(flood, milliseconds: 300)

            #expect(sent < flood.count, "nothing held the client up")
            client.reset()
        }
    }

    @Test func aClientThatNeverReadsIsCutOff() async throws {
        var limits = SMTPLimits()
        limits.maximumCommands = .max
        // A busy machine may hold the client up; that it says nothing is not what is tested.
        limits.commandTimeout = .seconds(15)
        let ending = Mutex<SMTPEnding?>(nil)
        let gone = Signal()
        try await serving(
            RecordingIntake(), limits,
            events: { event in
                guard case .disconnected(let how, _) = event else { return }
                ending.withLock { $0 = how }
                gone.fire()
            }
        ) { _, address in
            let client = try await TestClient.connect(to: address)
            // To the end: a client that gives up while the server still works on what it has got is one that says nothing.
            _ = try? await client.sendUntilStalled(flood, milliseconds: 60_000)
            await gone.wait()
            client.reset()
        }
        #expect(ending.withLock { $0 } == .aborted)
    }

    @Test(arguments: [true, false])
    func thousandsOfRecipientsInOneWriteAreAnsweredInOrder(isSuspending: Bool) async throws {
        var limits = SMTPLimits()
        limits.maximumRecipients = 5000
        let intake = RecordingIntake(isSuspending: isSuspending)
        try await serving(intake, limits) { _, address in
            let client = try await TestClient.connect(to: address)
            let recipients = (0..<5000).map { "RCPT TO:<user\($0)@d.example>\r\n" }.joined()
            try await client.send("HELO a\r\nMAIL FROM:<a@b.example>\r\n" + recipients + "DATA\r\n")

            let codes = try await client.replies(5004)
            #expect(codes == ["220", "250"] + Array(repeating: "250", count: 5001) + ["354"])
            #expect(try await client.code(of: ".") == "250")
        }
        #expect(intake.envelopes.first?.recipients.map(\.mailbox) == (0..<5000).map { "user\($0)@d.example" })
    }

    /// More commands than the kernel's buffers hold, whose replies are larger still.
    private let flood = Array(String(repeating: "HELP\r\n", count: 2_000_000).utf8)
}
