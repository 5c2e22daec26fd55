// ETRN as a client: every reply, and servers that break.

import CurlTransport
import DispatchSockets
import FlushClient
import SocketTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct ETRNSenderTests {
    private func send(_ nodes: [String], to port: UInt16, _ set: (inout ETRNSender.Server) -> Void = { _ in }) async throws -> [ETRNAnswer] {
        let loop = try EventLoop(label: "etrn-sender")
        let sender = ETRNSender(loop: loop)
        var server = ETRNSender.Server(host: "127.0.0.1", port: port)
        server.heloName = "site.example"
        server.overallTimeout = .seconds(20)
        set(&server)
        let result: Result<[ETRNAnswer], any Error>
        do {
            result = .success(try await sender.send(try nodes.map { try ETRNNodeName(parsing: $0) }, to: server))
        } catch { result = .failure(error) }
        await sender.shutdown()
        await loop.run { loop.shutdown() }
        return try result.get()
    }

    @Test(arguments: [
        ("250 OK, queuing for node site.example started", ETRNAnswer.Meaning.started),
        ("251 OK, no messages waiting for node site.example", .nothingWaiting),
        ("252 OK, pending messages for node site.example started", .started),
        ("253 OK, 14 pending messages for node site.example started", .startedMessages(14)),
        ("253 2.0.0 OK, 3 pending messages for node site.example started", .startedMessages(3)),
        ("253 OK", .startedMessages(nil)), ("253-first\r\n253-second\r\n253 OK, 7 pending", .startedMessages(7)), ("250", .started),
        ("458 Unable to queue messages for node site.example", .unable), ("458-no\r\n458 Unable", .unable),
        ("459 Node site.example not allowed: no", .refused), ("500 Syntax Error", .notUnderstood), ("501 Syntax Error in Parameters", .notUnderstood),
        ("502 5.5.1 not implemented", .notUnderstood), ("530 5.7.0 Authentication required", .authenticationRequired), ("554 go away", .other),
    ])
    func everyReplyIsUnderstood(_ reply: String, _ meaning: ETRNAnswer.Meaning) async throws {
        try await ScriptedMailServer.run({ _, command in command.hasPrefix("ETRN") ? .say(reply) : nil }) { server in
            let answers = try await send(["site.example"], to: server.port)

            #expect(answers.map(\.meaning) == [meaning])
            #expect(answers.first?.lines == reply.split(separator: "\r\n").map(String.init))
            #expect(await server.sees { $0.closed == 1 })
            #expect(server.seen.commands == ["EHLO site.example", "ETRN site.example", "QUIT"])
        }
    }

    @Test func severalNodesGoOverOneConnection() async throws {
        try await ScriptedMailServer.run({ _, command in command == "ETRN @b.example" ? .say("459 no") : nil }) { server in
            let answers = try await send(["a.example", "@b.example", "#night", "bücher.example"], to: server.port)

            #expect(answers.map(\.code) == [250, 459, 250, 250])
            #expect(server.seen.connections == 1)
            #expect(server.seen.commands.prefix(5).dropFirst() == ["ETRN a.example", "ETRN @b.example", "ETRN #night", "ETRN xn--bcher-kva.example"])
        }
    }

    @Test(arguments: [
        (Reaction.abort, ETRNSendError.Kind.broken), (.sayAndClose(""), .broken), (.sayAndClose("250-half of a reply"), .broken),
        (.say("nonsense"), .broken), (.say("250 ok\r\n250 and one more"), .broken), (.sayAndClose("421 closing"), .broken),
    ])
    func aServerThatBreaksIsNoAnswer(_ reaction: Reaction, _ kind: ETRNSendError.Kind) async throws {
        try await ScriptedMailServer.run({ _, command in command.hasPrefix("ETRN") ? reaction : nil }) { server in
            let failure = await #expect(throws: ETRNSendError.self) { try await send(["a.example", "b.example"], to: server.port) }
            // libcurl alone would tell the code of EHLO's reply here.
            #expect(failure?.kind == kind, "\(failure as Any)")
            #expect(failure?.description.contains("127.0.0.1:\(server.port)") == true)
        }
    }

    @Test(arguments: [
        ("GREETING", Reaction.sayAndClose("554 not for you"), ETRNSendError.Kind.unreachable), ("GREETING", .sayAndClose(""), .broken),
        ("GREETING", .say("HTTP/1.1 400 Bad Request"), .broken), ("EHLO site.example", .abort, .broken),
    ])
    func aServerThatOpensNoSessionIsToldAsSuch(_ step: String, _ reaction: Reaction, _ kind: ETRNSendError.Kind) async throws {
        try await ScriptedMailServer.run({ _, command in command == step ? reaction : nil }) { server in
            let failure = await #expect(throws: ETRNSendError.self) { try await send(["a.example"], to: server.port) }
            #expect(failure?.kind == kind, "\(failure as Any)")
        }
    }

    @Test func silenceIsBoundedAndQuitIsNotWaitedFor() async throws {
        try await ScriptedMailServer.run({ _, command in command.hasPrefix("ETRN") ? .silence : nil }) { server in
            let start = ContinuousClock.now
            let failure = await #expect(throws: ETRNSendError.self) {
                try await send(["a.example"], to: server.port) { $0.replyTimeout = .milliseconds(300) }
            }
            #expect(failure?.kind == .broken)
            #expect(ContinuousClock.now - start < .seconds(60))
        }
        let unwilling: ScriptedMailServer.Script = { _, command in
            command == "QUIT" ? .silence : command.hasPrefix("ETRN") ? .say("458 no") : nil
        }
        try await ScriptedMailServer.run(unwilling) { server in
            let start = ContinuousClock.now
            let answers = try await send(["a.example"], to: server.port)
            #expect(answers.map(\.code) == [458])
            #expect(ContinuousClock.now - start < .seconds(60))
        }
    }

    @Test func nobodyThereIsUnreachable() async throws {
        let deaf = try DeafPort()
        let failure = await #expect(throws: ETRNSendError.self) { try await send(["a.example"], to: deaf.port) }
        #expect(failure?.kind == .unreachable)
    }

    @Test func credentialsAreSaidAndATrustedServerIsInsistedOn() async throws {
        let hello = "250-scripted.example\r\n250-AUTH PLAIN\r\n250 ETRN"
        let script: ScriptedMailServer.Script = { _, command in
            if command.hasPrefix("EHLO") { return .say(hello) }
            if command == "AUTH PLAIN" { return .say("334 ") }
            if command.hasPrefix("AG1l") { return .say(command == "AG1lAHNlY3JldA==" ? "235 welcome" : "535 who?") }
            return nil
        }
        try await ScriptedMailServer.run(script) { server in
            let answers = try await send(["a.example"], to: server.port) { $0.credentials = .init(user: "me", password: "secret") }
            #expect(answers.map(\.code) == [250])
            let wrong = await #expect(throws: ETRNSendError.self) {
                try await send(["a.example"], to: server.port) { $0.credentials = .init(user: "me", password: "wrong") }
            }
            #expect(wrong?.kind == .notPermitted)
            #expect(wrong?.description.contains("wrong") == false)
            let plain = await #expect(throws: ETRNSendError.self) { try await send(["a.example"], to: server.port) { $0.tls = .required } }
            #expect(plain?.kind == .notPermitted, "\(plain as Any)")
        }
        // A server that asks for no credentials would be told them for nothing, and its answer be somebody's we do not know.
        try await ScriptedMailServer.run { server in
            let unasked = await #expect(throws: ETRNSendError.self) {
                try await send(["a.example"], to: server.port) { $0.credentials = .init(user: "me", password: "secret") }
            }
            #expect(unasked?.kind == .notPermitted)
        }
        let far = await #expect(throws: ETRNSendError.self) {
            try await send(["a.example"], to: 25) {
                $0.host = "mail.example"; $0.credentials = .init(user: "me", password: "secret")
            }
        }
        #expect(far?.kind == .invalid)
    }

    @Test(arguments: [
        "", "a b", "a.example\r\nRSET", "a.example\n", "#", "#a b", "#a\r\nQUIT", "@", "a..b", "#" + String(repeating: "x", count: 400), "127.0.0.1",
    ])
    func whatIsNoNodeIsRefused(_ text: String) {
        #expect(throws: InvalidETRNNodeName.self) { try ETRNNodeName(parsing: text) }
    }

    /// In a process of its own: other suites open descriptors all the time.
    @Test func manySessionsAtOnceLeaveNothingBehind() async throws {
        await #expect(processExitsWith: .success) { try await expectNothingLeftBehind(by: sendManyAtOnce) }
    }
}

private func sendManyAtOnce() async throws {
    try await ScriptedMailServer.run { server in
        let loop = try EventLoop(label: "etrn-senders")
        let sender = ETRNSender(loop: loop)
        let port = server.port
        let codes = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<150 {
                group.addTask {
                    let node = try? ETRNNodeName(parsing: "a.example")
                    return (try? await sender.send([node!], to: ETRNSender.Server(host: "127.0.0.1", port: port)))?.first?.code ?? 0
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes.allSatisfy { $0 == 250 })
        await sender.shutdown()
        await loop.run { loop.shutdown() }
    }
}
