// Deliveries to a scripted server.

import CurlTransport
import DispatchSockets
import FlushCore
import SocketTesting
import Synchronization
import Testing

@testable import SpoolQueue

@Suite(.serialized, .timeLimit(.minutes(5))) struct DeliveryClientTests {
    private final class Content: CurlUpload {
        let bytes = Array("Subject: x\r\n\r\n.body\r\n".utf8)
        private let offset = Mutex(0)

        func next(maximum: Int) async -> [UInt8] {
            offset.withLock { offset in
                let piece = Array(bytes[offset...].prefix(maximum))
                offset += piece.count
                return piece
            }
        }
    }

    /// - Parameter silence: how long the answer to the content is waited for; longer than a busy machine takes, unless it is not to come.
    private func withClient<Result: Sendable>(
        silence: Duration = .seconds(60), _ body: (DeliveryClient) async throws -> Result
    ) async throws -> Result {
        let loop = try EventLoop(label: "delivery-test")
        let curl = CurlMulti(loop: loop, maximumTransfers: 4, maximumCachedConnections: 4)
        let client = DeliveryClient(curl: curl) { transfer in
            transfer.connectTimeout = .seconds(60)
            transfer.replyTimeout = .seconds(60)
            transfer.contentReplyTimeout = silence
        }
        do {
            let result = try await body(client)
            await curl.shutdown()
            loop.shutdown()
            return result
        } catch {
            await curl.shutdown()
            loop.shutdown()
            throw error
        }
    }

    private func delivery(
        to port: UInt16, _ recipients: [String] = ["a@customer.example"], sender: String = "s@provider.example"
    ) throws -> Delivery {
        let content = Content()
        return Delivery(
            nextHop: try NextHop(parsing: "[127.0.0.1]:\(port)"), helo: "relay.example", sender: sender, recipients: recipients,
            content: content, size: content.bytes.count)
    }

    @Test func anAnswerToTheContentThatComesBeforeTheContentDeliversNothing() async throws {
        try await ScriptedMailServer.run({ _, command in command == "DATA" ? .say("354 go\r\n250 2.0.0 queued already") : nil }) { server in
            try await withClient { client in
                let result = await client.deliver(try delivery(to: server.port))

                guard case .deferred = result.outcomes[0] else {
                    Issue.record("\(result.outcomes)")
                    return
                }
            }
        }
    }

    @Test func tellsEachRecipientsOutcomeInOrder() async throws {
        try await ScriptedMailServer.run({ _, command in
            if command.contains("<no@") { return .say("550 5.1.1 unknown") }
            return command.contains("<later@") ? .say("450-4.2.1 not\r\n450 now") : nil
        }) { server in
            try await withClient { client in
                let recipients = ["no@customer.example", "a@customer.example", "later@customer.example", "\"q x\"@customer.example"]
                let result = await client.deliver(try delivery(to: server.port, recipients, sender: ""))

                let host = "host 127.0.0.1[127.0.0.1]:\(server.port) said:"
                #expect(
                    result.outcomes == [
                        .bounced(reply: "\(host) 550 5.1.1 unknown (in reply to RCPT TO command)"),
                        .delivered(reply: "250 2.0.0 queued"),
                        .deferred(reason: "\(host) 450-4.2.1 not 450 now (in reply to RCPT TO command)"),
                        .delivered(reply: "250 2.0.0 queued"),
                    ])
                #expect(result.siteReached && result.reason == nil)
                #expect(server.seen.messages == [Array("Subject: x\r\n\r\n.body\r\n".utf8)])
                #expect(server.seen.commands.contains("MAIL FROM:<> SIZE=21"))
            }
        }
    }

    @Test func anAddressThatCannotBeSaidBouncesAndTheOthersGo() async throws {
        try await ScriptedMailServer.run { server in
            try await withClient { client in
                let result = await client.deliver(
                    try delivery(to: server.port, ["grün@customer.example", "a@customer.example", "b>\r\nDATA@customer.example"]))

                #expect(
                    result.outcomes == [
                        .bounced(reply: "5.1.3 the recipient's address has characters outside ASCII, for which SMTPUTF8 would be needed (5.6.7)"),
                        .delivered(reply: "250 2.0.0 queued"),
                        .bounced(reply: "5.1.3 the recipient's address cannot be written in SMTP"),
                    ])
                #expect(server.seen.commands.filter { $0.hasPrefix("RCPT") } == ["RCPT TO:<a@customer.example>"])
            }
        }
    }

    @Test func aConnectionThatTheServerGaveUpIsReplacedAtOnce() async throws {
        for reaction in [Reaction.sayAndClose("421 idle too long"), .sayAndClose(""), .abort] {
            let mails = Mutex(0)
            try await ScriptedMailServer.run({ connection, command in
                guard command.hasPrefix("MAIL"), connection == 1 else { return nil }
                return mails.withLock {
                    $0 += 1; return $0
                } == 2 ? reaction : nil
            }) { server in
                try await withClient { client in
                    for _ in 0..<2 {
                        let result = await client.deliver(try delivery(to: server.port))
                        #expect(result.outcomes == [.delivered(reply: "250 2.0.0 queued")])
                    }
                    #expect(server.seen.connections == 2 && server.seen.messages.count == 2)
                }
            }
        }
    }

    @Test func aServerWhoseTLSIsBrokenGetsPlainText() async throws {
        try await ScriptedMailServer.run({ _, command in
            if command.hasPrefix("EHLO") { return .say("250-x\r\n250 STARTTLS") }
            return command == "STARTTLS" ? .sayAndClose("220 go\r\nthis is no TLS") : nil
        }) { server in
            try await withClient { client in
                let result = await client.deliver(try delivery(to: server.port))

                #expect(result.outcomes == [.delivered(reply: "250 2.0.0 queued")])
                #expect(server.seen.connections == 2)
            }
        }
    }

    @Test func silenceAfterTheFinalDotDefers() async throws {
        try await ScriptedMailServer.run({ _, command in command == "CONTENT" ? .silence : nil }) { server in
            try await withClient(silence: .milliseconds(400)) { client in
                let result = await client.deliver(try delivery(to: server.port))

                let name = "127.0.0.1[127.0.0.1]:\(server.port)"
                #expect(
                    result.outcomes == [
                        .deferred(reason: "conversation with \(name) timed out while sending end of data -- message may be sent more than once")
                    ])
                #expect(result.siteReached)
            }
        }
    }

    @Test func aSiteThatRefusesToTalkWasNotReached() async throws {
        try await ScriptedMailServer.run({ _, command in command == "GREETING" ? .say("554 not you") : nil }) { server in
            try await withClient { client in
                let result = await client.deliver(try delivery(to: server.port))

                let reason = "host 127.0.0.1[127.0.0.1]:\(server.port) refused to talk to me: 554 not you"
                #expect(result == DeliveryResult(outcomes: [.deferred(reason: reason)], siteReached: false, reason: reason))
            }
        }
    }

    @Test func aSiteThatIsDownDefersWithTheSystemsWords() async throws {
        let deaf = try DeafPort()
        try await withClient { client in
            let result = await client.deliver(try delivery(to: deaf.port))

            let reason = "connect to 127.0.0.1[127.0.0.1]:\(deaf.port): Connection refused"
            #expect(result == DeliveryResult(outcomes: [.deferred(reason: reason)], siteReached: false, reason: reason))
        }
        withExtendedLifetime(deaf) {}
    }

    @Test func aNextHopWithMXIsDeferred() async throws {
        try await withClient { client in
            var delivery = try delivery(to: 25)
            delivery.nextHop = try NextHop(parsing: "customer.example:25")

            let result = await client.deliver(delivery)

            #expect(result.outcomes == [.deferred(reason: "next hop customer.example:25 needs an MX look-up, which the spool does not do")])
        }
    }
}
