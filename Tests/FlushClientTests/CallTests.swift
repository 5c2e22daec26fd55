// Single calls: what goes over the wire, and what of the API's own refusals comes back.

import DispatchSockets
import FlushClient
import FlushCore
import FlushTesting
import FlushWire
import Glibc
import Testing

@Suite(.timeLimit(.minutes(5))) struct CallTests {
    private let fast = Samples.domain("fast.example")

    @Test func statusPolicyAndReadinessArePlainCalls() async throws {
        let live = try await LiveAPI(warnings: ["take care"])
        try await withClient(of: live.url) { client in
            let status = try await client.api.status()
            #expect(status.version == "1.2.3")
            #expect(status.engine == "spool")
            let policy = ServerPolicy(parameters: [.init(name: "slow_flush", value: "permit", source: "default")], warnings: ["take care"])
            #expect(try await client.api.policy() == policy)
            #expect(try await client.api.impediments() == [])
            #expect(try await client.api.bounces().items == [])
            #expect(try await client.api.bounce(Samples.queueID(1)) == nil)
            #expect(try await client.api.removeBounce(Samples.queueID(1)) == false)

            live.trial.history.failure = .unavailable("the disk is gone")
            live.trial.queue.currentTrouble = "the queue is away"
            #expect(try await client.api.impediments().contains { $0.contains("the queue is away") })
        }
        await live.end()
    }

    @Test func aMalformedRequestIsToldWithItsPlaces() async throws {
        let live = try await LiveAPI(engineUsesMX: false)
        try await withClient(of: live.url) { client in
            let draft = RelayDomainDraft(nextHop: try NextHop(parsing: "mail.example:25"))
            let refusal = await #expect(throws: FlushClientError.self) { _ = try await client.api.putRelayDomain(draft, for: fast) }
            guard case .problem(let problem, let url)? = refusal else {
                Issue.record("\(refusal as Any)")
                return
            }
            #expect(problem.kind == .badRequest)
            #expect(problem.faults.map(\.pointer) == ["#/next_hop"])
            #expect(url == "\(live.url)/relay-domains/fast.example")

            // In the service's words it is what cannot be done, not what may work later.
            await #expect(throws: FlushError.unsupported("\(refusal!)")) {
                _ = try await client.putRelayDomain(draft, for: fast, by: "", if: [])
            }
        }
        await live.end()
    }

    @Test func aPathThatTheServerHasNotIsNoMissingThing() async throws {
        try await LiveAPI.run { live in
            try await withClient(of: "\(live.url)/elsewhere") { client in
                let refusal = await #expect(throws: FlushClientError.self) { try await client.api.domain(fast) }
                guard case .problem(let problem, _)? = refusal else {
                    Issue.record("\(refusal as Any)")
                    return
                }
                #expect(problem.status == 404)
                #expect(problem.kind == nil)
            }
        }
    }

    @Test func tokenAndNamesGoIntoTheFields() async throws {
        let file = "/tmp/flush-client-token-\(getpid())"
        let descriptor = open(file, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0o600)
        _ = "etrn_1_secret\n".withCString { write(descriptor, $0, strlen($0)) }
        close(descriptor)
        defer { unlink(file) }
        let token = try AccessToken(file: file)
        #expect("\(token)" == "a token")

        try await ScriptedHTTPServer.run({ _, _ in .answer("404 Not Found", "application/problem+json", "{}") }) { server in
            try await withClient(of: "\(server.url)/mail/api/", { $0.token = token }) { client in
                var options = APIClient.FlushOptions()
                options.note = "a b&wait=30\u{FC}"
                let wanted = options
                _ = await #expect(throws: FlushClientError.self) {
                    _ = try await client.api.flush(.domain(fast, subdomains: true), wanted)
                }
            }
            let head = server.seen.heads.first ?? ""
            #expect(head.hasPrefix("POST /mail/api/etrn/fast.example?subdomains=true&note=a%20b%26wait%3D30%C3%BC HTTP/1.1\r\n"))
            #expect(head.contains("\r\nAuthorization: Bearer etrn_1_secret"))
            #expect(!head.contains("Content-Type"))
        }
    }

    @Test(arguments: ["", "\n", "two words\n", "t\u{E4}st\n", String(repeating: "x", count: 5_000)])
    func whatIsNoTokenIsRefusedWithoutBeingShown(_ text: String) throws {
        let file = "/tmp/flush-client-bad-token-\(getpid())-\(text.utf8.count)"
        let descriptor = open(file, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0o600)
        _ = text.withCString { write(descriptor, $0, strlen($0)) }
        close(descriptor)
        defer { unlink(file) }

        let refusal = #expect(throws: InvalidAccessToken.self) { try AccessToken(file: file) }

        #expect(refusal?.description.contains("words") == false)
        #expect(refusal?.description.contains(file) == true)
    }

    @Test(arguments: [
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025"), ("https://relay.example/", "https://relay.example"),
        ("http://[::1]:8025/etrn/", "http://[::1]:8025/etrn"), ("unix:/run/etrnd.sock", "unix:/run/etrnd.sock"),
        ("/run/etrnd.sock", "unix:/run/etrnd.sock"), ("HTTP://Relay.example", "http://Relay.example"), ("http://[::1]", "http://[::1]"),
    ])
    func addressesAreUnderstood(_ text: String, _ expected: String) throws {
        #expect(try ServerAddress(parsing: text).description == expected)
    }

    @Test(arguments: [
        "", "relay.example", "ftp://relay.example", "http://", "http:///path", "http://:80", "http://a b", "http://user:secret@relay.example",
        "http://relay.example?x=1", "http://relay.example#x", "http://relay.example:0", "http://relay.example:99999", "http://relay.example:x",
        "http://::1:80", "unix:relative", "unix:", "http://relay.example\r\nX: y", "http://b\u{FC}cher.example",
        "http://" + String(repeating: "a", count: 2_000), "/" + String(repeating: "a", count: 200),
    ])
    func whatIsNoAddressIsRefused(_ text: String) {
        let refusal = #expect(throws: InvalidServerAddress.self) { try ServerAddress(parsing: text) }
        #expect(refusal?.description.contains("secret@") != true || text.contains("secret"))
    }
}
