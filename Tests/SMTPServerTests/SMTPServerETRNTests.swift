// ETRN on a real port: answers that come later, never, or to nobody.

import DispatchSockets
import SocketTesting
import Synchronization
import Testing

@testable import SMTPServer

/// Answers 250; where a gate is given for an argument, not before it opens.
private final class GatedHandler: ETRNHandler {
    let gates: [String: Gate]
    let asked = Mutex<[String]>([])
    let answered = Signal()
    let isSuspending: Bool

    init(_ gates: [String: Gate] = [:], isSuspending: Bool = false) {
        self.gates = gates
        self.isSuspending = isSuspending
    }

    func answer(_ argument: String, from peer: Peer) -> Answer<SMTPReply> {
        asked.withLock { $0.append(argument) }
        let reply = SMTPReply(250, nil, "OK, queuing for node \(argument) started")
        let gate = gates[argument]
        guard isSuspending || gate != nil else {
            answered.fire()
            return .now(reply)
        }
        return .later { [self] in
            if isSuspending { await Task.yield() }
            await gate?.pass()
            answered.fire()
            return reply
        }
    }
}

@Suite(.timeLimit(.minutes(5))) struct SMTPServerETRNTests {
    private func connected(to address: SocketAddress) async throws -> TestClient {
        let client = try await TestClient.connect(to: address)
        #expect(try await client.reply() == "220 mail.example ESMTP\r\n")
        #expect(try await client.code(of: "EHLO client.example") == "250")
        return client
    }

    @Test(arguments: [true, false])
    func pipelinedCommandsAreAnsweredInOrder(isSuspending: Bool) async throws {
        let handler = GatedHandler(isSuspending: isSuspending)
        try await serving(nil, etrn: handler) { _, address in
            let client = try await connected(to: address)
            let names = (0..<90).map { "n\($0).example" }
            try await client.send(names.map { "ETRN \($0)\r\n" }.joined() + "NOOP\r\nQUIT\r\n")

            let text = try await client.rest()
            let expected = names.map { "250 OK, queuing for node \($0) started\r\n" }.joined()
            #expect(text == expected + "250 2.0.0 OK\r\n221 2.0.0 mail.example closing connection\r\n")
            #expect(handler.asked.withLock { $0 } == names)
        }
    }

    @Test func aHandlerThatNeverAnswersIs458AndNobodyElseWaits() async throws {
        let gate = Gate()
        var limits = SMTPLimits()
        limits.etrnTimeout = .seconds(1)
        let handler = GatedHandler(["slow.example": gate])
        try await serving(nil, etrn: handler, limits) { _, address in
            let client = try await connected(to: address)
            try await client.send("ETRN slow.example\r\nETRN slow.example\r\nETRN quick.example\r\n")
            let other = try await connected(to: address)
            #expect(try await other.code(of: "ETRN quick.example") == "250")

            let late = "458 Unable to queue messages for node slow.example\r\n"
            #expect(try await client.reply() == late)
            #expect(try await client.reply() == late)
            #expect(try await client.reply() == "250 OK, queuing for node quick.example started\r\n")
            // The late answers come when nobody waits for them, and disturb nothing.
            gate.open()
            for _ in 0..<4 { await handler.answered.wait() }
            #expect(try await client.code(of: "NOOP") == "250")
            #expect(try await client.code(of: "ETRN slow.example") == "250")
        }
    }

    @Test func aClientThatLeavesIsNotWaitedFor() async throws {
        let gate = Gate()
        let gone = Signal()
        let handler = GatedHandler(["slow.example": gate])
        try await serving(nil, etrn: handler, events: { if case .disconnected = $0 { gone.fire() } }) { server, address in
            let client = try await connected(to: address)
            try await client.send("ETRN slow.example\r\nETRN next.example\r\n")
            let other = try await connected(to: address)
            while handler.asked.withLock(\.isEmpty) { #expect(try await other.code(of: "RSET") == "250") }
            client.reset()
            await gone.wait()

            gate.open()
            await handler.answered.wait()
            #expect(try await other.code(of: "NOOP") == "250")
            #expect(handler.asked.withLock { $0 } == ["slow.example"])
        }
    }

    @Test func aClientThatClosesItsHalfGetsItsAnswer() async throws {
        let gate = Gate()
        try await serving(nil, etrn: GatedHandler(["slow.example": gate])) { _, address in
            let client = try await connected(to: address)
            try await client.send("ETRN slow.example\r\n")
            client.closeOutput()
            gate.open()

            #expect(try await client.rest() == "250 OK, queuing for node slow.example started\r\n")
        }
    }

    @Test func repliesAreTold() async throws {
        let events = Mutex<[SMTPEvent]>([])
        try await serving(nil, etrn: GatedHandler(), events: { event in events.withLock { $0.append(event) } }) { _, address in
            let client = try await connected(to: address)
            #expect(try await client.code(of: "ETRN site.example") == "250")
            #expect(try await client.code(of: "ETRN") == "500")
        }
        #expect(events.withLock { $0.filter { $0 == .replied(to: .etrn, code: 250) }.count } == 1)
        #expect(events.withLock { $0.filter { $0 == .replied(to: .etrn, code: 500) }.count } == 1)
    }

    @Test func mailAndETRNShareASession() async throws {
        let intake = RecordingIntake()
        let handler = GatedHandler()
        try await serving(intake, etrn: handler) { _, address in
            let client = try await connected(to: address)
            let message = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
            try await client.send("ETRN one.example\r\n" + message)
            #expect(try await client.replies(4) == ["250", "250", "250", "354"])
            try await client.send("ETRN text.example\r\n.\r\nETRN two.example\r\nQUIT\r\n")
            #expect(try await client.replies(3) == ["250", "250", "221"])
        }
        #expect(intake.messages == ["ETRN text.example\r\n"])
        #expect(handler.asked.withLock { $0 } == ["one.example", "two.example"])
    }
}
