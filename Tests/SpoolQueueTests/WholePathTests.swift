// The whole path on real sockets: from one spool through libcurl and our SMTP server into another.

import CurlTransport
import DispatchSockets
import FlushCore
import FlushTesting
import SMTPServer
import Testing

@testable import SpoolQueue

@Suite(.timeLimit(.minutes(5))) struct WholePathTests {
    /// A spool with an SMTP server in front of it, as a customer's.
    private func withServer(_ body: (Spool, UInt16) async throws -> Void) async throws {
        let inner = try await Spool.open()
        let server = SMTPServer(loop: inner.loop, hostname: "mail.customer.example", intake: inner.queue.intake)
        let loop = inner.loop
        let address = try await loop.run { () throws(SocketError) in try server.listen(at: SocketAddress(parsing: "127.0.0.1:0")) }
        do { try await body(inner, address.port ?? 0) } catch {
            await server.stop(within: .seconds(1))
            await inner.stop()
            throw error
        }
        await server.stop(within: .seconds(1))
        await inner.stop()
    }

    private func outer(to port: UInt16, curl: CurlMulti) async throws -> Spool {
        let client = DeliveryClient(curl: curl)
        let hop = try NextHop(parsing: "[127.0.0.1]:\(port)")
        let routes = FakeRoutes(["customer.example": MailRoute(nextHop: hop), "elsewhere.example": MailRoute(nextHop: hop)])
        return try await Spool.open(routes: routes, deliver: { await client.deliver($0) })
    }

    @Test func mailArrivesByteForByteAndRefusalsAreReported() async throws {
        let loop = try EventLoop(label: "curl-test")
        let curl = CurlMulti(loop: loop, maximumTransfers: 20, maximumCachedConnections: 20)
        try await withServer { inner, port in
            let outer = try await outer(to: port, curl: curl)
            var content = Array("Subject: dots\r\n\r\n.\r\n..two\r\n.end\r\nGr\u{fc}\u{df}e\r\n".utf8)
            for line in 0..<20_000 { content += ".line \(line) of a long message\r\n".utf8 }

            try await outer.send(to: ["a@customer.example", "b@elsewhere.example"], content)
            await outer.events.waitForAttempts(1)

            // The inner server relays for customer.example only.
            let attempt = try #require(outer.events.attempts.first)
            #expect(attempt.remaining == nil)
            #expect(attempt.outcomes.map { "\($0.domain) \($0.delivered) \($0.bounced)" } == ["customer.example 1 0", "elsewhere.example 0 1"])
            let report = try #require(try await outer.queue.bounces(after: nil, limit: 1).first)
            #expect(report.recipients == ["b@elsewhere.example"])
            #expect(report.reason.contains("Relay access denied"))
            let arrived = try #require(inner.files("deferred").first)
            #expect(Array(bytes(of: inner.path("deferred/\(arrived)")).suffix(content.count)) == content)
            let description = try #require(try await inner.queue.describe([QueueID(arrived)!]).first)
            #expect(description.sender == "alice@origin.example")
            #expect(description.recipients.map(\.address) == ["a@customer.example"])
            await outer.stop()
        }
        await curl.shutdown()
        loop.shutdown()
    }

    @Test func hundredsArriveOnceEach() async throws {
        let loop = try EventLoop(label: "curl-test")
        let curl = CurlMulti(loop: loop, maximumTransfers: 20, maximumCachedConnections: 20)
        try await withServer { inner, port in
            let outer = try await outer(to: port, curl: curl)
            let count = 300
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<count { group.addTask { _ = try await outer.send(to: ["user\(number)@customer.example"]) } }
                try await group.waitForAll()
            }
            await outer.events.waitForAttempts(count)

            let ids = inner.files("deferred").compactMap { QueueID($0) }
            let recipients = try await inner.queue.describe(ids).flatMap(\.recipients).map(\.address)
            #expect(recipients.count == count)
            #expect(Set(recipients).count == count)
            #expect(outer.events.attempts.allSatisfy { $0.remaining == nil })
            #expect(try await outer.scanned().isEmpty)
            await outer.stop()
        }
        await curl.shutdown()
        loop.shutdown()
    }
}
