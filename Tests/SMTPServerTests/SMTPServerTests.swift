// The server on a real port, with an intake that only remembers.

import DispatchSockets
import SocketTesting
import Synchronization
import Testing

@testable import SMTPServer

@Suite(.timeLimit(.minutes(5))) struct SMTPServerTests {
    @Test func aMessageArrives() async throws {
        let intake = RecordingIntake()
        try await serving(intake) { _, address in
            let client = try await TestClient.connect(to: address)
            #expect(try await client.reply() == "220 mail.example ESMTP\r\n")
            #expect(try await client.code(of: "EHLO client.example") == "250")
            try await client.send("MAIL FROM:<a@b.example> SIZE=20\r\nRCPT TO:<x@elsewhere.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
            #expect(try await client.replies(4) == ["250", "554", "250", "354"])
            #expect(try await client.code(of: "Subject: x\r\n\r\nbody\r\n.") == "250")
            #expect(try await client.code(of: "QUIT") == "221")
            #expect(try await client.rest() == "")
        }

        #expect(intake.messages == ["Subject: x\r\n\r\nbody\r\n"])
        let envelope = try #require(intake.envelopes.first)
        #expect(envelope.sender.mailbox == "a@b.example")
        #expect(envelope.recipients.map(\.mailbox) == ["c@d.example"])
        #expect(envelope.declaredSize == 20)
        #expect(envelope.helo == "client.example")
        #expect(envelope.peer.address.isLoopback)
        #expect(intake.abandoned == 0)
    }

    @Test func aClientThatClosesItsHalfAfterQuitGetsEveryReply() async throws {
        let intake = RecordingIntake(isSuspending: true)
        try await serving(intake) { _, address in
            let client = try await TestClient.connect(to: address)
            try await client.send(untilData + "x\r\n.\r\nQUIT\r\n")
            client.closeOutput()

            #expect(try await client.rest().replyCodes == ["220", "250", "250", "250", "354", "250", "221"])
        }
        #expect(intake.messages == ["x\r\n"])
    }

    @Test(arguments: [true, false])
    func aDisconnectInTheContentAbandonsTheMessage(isReset: Bool) async throws {
        let intake = RecordingIntake()
        try await serving(intake) { _, address in
            let client = try await TestClient.connect(to: address)
            try await client.send(untilData)
            _ = try await client.replies(5)
            try await client.send("half a line")
            if isReset { client.reset() } else { client.closeOutput() }

            await intake.wait(for: .abandoned)
        }
        #expect(intake.messages.isEmpty)
        #expect(intake.abandoned == 1)
    }

    @Test func aCommitUnderWayEndsWithoutItsClient() async throws {
        let gate = Gate()
        let intake = RecordingIntake(holdCommit: gate)
        let gone = Signal()
        try await serving(intake, events: { if case .disconnected = $0 { gone.fire() } }) { _, address in
            let client = try await TestClient.connect(to: address)
            try await client.send(untilData + "x\r\n.\r\n")
            await intake.wait(for: .committing)
            client.reset()
            gate.open()

            await intake.wait(for: .committed)
            await gone.wait()
        }
        #expect(intake.messages == ["x\r\n"])
        #expect(intake.abandoned == 0)
    }

    @Test func aStopTellsIdleSessionsAndWaitsForTheContent() async throws {
        let intake = RecordingIntake()
        try await serving(intake) { server, address in
            let idle = try await TestClient.connect(to: address)
            _ = try await idle.reply()
            let busy = try await TestClient.connect(to: address)
            try await busy.send(untilData)
            _ = try await busy.replies(5)
            try await busy.send("half\r\n")

            let stop = Task { await server.stop(within: .seconds(60)) }
            #expect(try await idle.rest().hasPrefix("421 4.3.2 "))
            #expect(intake.messages.isEmpty)
            #expect(try await busy.code(of: "whole\r\n.") == "250")
            #expect(try await busy.rest().hasPrefix("421 4.3.2 "))
            idle.reset()
            busy.reset()
            await stop.value

            await #expect(throws: ClientError.self) { try await TestClient.connect(to: address) }
        }
        #expect(intake.messages == ["half\r\nwhole\r\n"])
    }

    @Test func aStopCutsOffWhatDoesNotEnd() async throws {
        let intake = RecordingIntake()
        try await serving(intake) { server, address in
            let client = try await TestClient.connect(to: address)
            try await client.send(untilData)
            _ = try await client.replies(5)
            try await client.send("half\r\n")

            await server.stop(within: .milliseconds(100))

            #expect(try await client.rest() == "")
        }
        #expect(intake.messages.isEmpty)
        #expect(intake.abandoned == 1)
    }

    @Test func aStopWaitsForACommit() async throws {
        let gate = Gate()
        let intake = RecordingIntake(holdCommit: gate)
        try await serving(intake) { server, address in
            let client = try await TestClient.connect(to: address)
            try await client.send(untilData + "x\r\n.\r\n")
            await intake.wait(for: .committing)

            let stop = Task { await server.stop(within: .seconds(60)) }
            gate.open()
            #expect(try await client.rest().contains("354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Queued\r\n421 4.3.2 "))
            client.reset()
            await stop.value
        }
        #expect(intake.messages == ["x\r\n"])
    }

    @Test func eventsTellWhatHappenedAndNothingElse() async throws {
        let events = Mutex<[SMTPEvent]>([])
        try await serving(RecordingIntake(), events: { event in events.withLock { $0.append(event) } }) { _, address in
            let client = try await TestClient.connect(to: address)
            try await client.send("HELO a\r\nFOO\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
            _ = try await client.replies(6)
            #expect(try await client.code(of: "x\r\n.") == "250")
            #expect(try await client.code(of: "QUIT") == "221")
        }
        let expected: [SMTPEvent] = [
            .connected(open: 1), .replied(to: .greeting, code: 220), .replied(to: .helo, code: 250), .replied(to: .other, code: 500),
            .replied(to: .mail, code: 250), .replied(to: .rcpt, code: 250), .replied(to: .data, code: 354),
            .accepted(bytes: 3, recipients: 1), .replied(to: .content, code: 250), .replied(to: .quit, code: 221),
            .disconnected(.orderly, open: 0),
        ]
        #expect(events.withLock { $0 } == expected)
    }
}
