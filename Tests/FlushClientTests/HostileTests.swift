// Servers that break, hang, lie or are somebody else; and that nothing is left behind by any of it.

import DispatchSockets
import FlushClient
import FlushCore
import FlushTesting
import FlushWire
import HTTPServer
import SocketTesting
import Testing

@Suite(.timeLimit(.minutes(5)), .serialized) struct HostileTests {
    private let fast = Samples.domain("fast.example")
    private static let page = "<html><head><title>502 Bad Gateway</title></head></html>"

    private func unavailable(_ client: FlushClient, _ call: (FlushClient) async throws(FlushError) -> Void) async -> String? {
        do throws(FlushError) { try await call(client) } catch .queueUnavailable(let reason) { return reason } catch { return "not that: \(error)" }
        return nil
    }

    @Test(arguments: [
        // A proxy's page instead of an answer, with any status.
        (HTTPReaction.answer("502 Bad Gateway", "text/html; charset=utf-8", page), ["answered 502", "HTML"]),
        (.answer("200 OK", "text/html", page), ["answered 200", "HTML"]),
        (.answer("301 Moved", "text/plain", "", "Location: http://elsewhere.example/\r\n"), ["answered 301", "text/plain"]),
        // JSON that is none, half of one, or another program's.
        (.answer("200 OK", "application/json", "{\"id\":"), ["answered 200", "half of one"]),
        (.answer("200 OK", "application/json", "[]"), ["answered 200", "no object"]),
        (.answer("200 OK", "application/json", "{\"version\":\"1\"}"), ["answered 200", "engine is missing"]),
        (.answer("200 OK", "application/json", "{\"version\":1}"), ["answered 200", "version is no string"]),
        (.answer("500 Internal", "application/problem+json", "{\"detail\":"), ["answered 500", "half of one"]),
        (.answer("418 Teapot", "application/problem+json", "{\"type\":\"urn:other\",\"detail\":\"I am a teapot\"}"), ["answered 418", "teapot"]),
        // No HTTP at all.
        (.sayAndClose("220 mail.example ESMTP\r\n"), ["HTTP"]),
        (.sayAndClose("\0\u{1}\u{2}\u{3}"), ["HTTP"]),
        // An answer that breaks off.
        (.sayAndClose("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"version\""), ["broke off", "200"]),
        (.sayAndClose("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ver"), ["broke off", "200"]),
        // Without a length, its end is the connection's end, and half of it is no document.
        (.sayAndClose("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"version\""), ["half of one"]),
        (.sayAndClose(""), ["did not answer", "closed"]),
        (.abort, ["did not answer"]),
    ])
    func aBadAnswerIsToldWithAddressAndStatus(_ reaction: HTTPReaction, _ parts: [String]) async throws {
        try await ScriptedHTTPServer.run({ _, _ in reaction }) { server in
            try await withClient(of: server.url) { client in
                let reason = await unavailable(client) { (client) async throws(FlushError) in _ = try await client.status() }
                for part in parts + ["\(server.url)/status"] {
                    #expect(reason?.contains(part) == true, "\(part) in \(reason ?? "no refusal")")
                }
            }
        }
    }

    @Test func anAnswerWithoutEndIsCutOff() async throws {
        let flood = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + String(repeating: "[", count: 200_000)
        try await ScriptedHTTPServer.run({ _, _ in .say(flood) }) { server in
            try await withClient(of: server.url, { $0.maximumAnswer = 100_000 }) { client in
                let reason = await unavailable(client) { (client) async throws(FlushError) in _ = try await client.status() }
                #expect(reason?.contains("longer than 100000 bytes") == true, "\(reason ?? "")")
            }
        }
        let head = "HTTP/1.1 200 OK\r\n" + String(repeating: "X-Filler: \(String(repeating: "x", count: 500))\r\n", count: 300)
        try await ScriptedHTTPServer.run({ _, _ in .say(head) }) { server in
            try await withClient(of: server.url) { client in
                let reason = await unavailable(client) { (client) async throws(FlushError) in _ = try await client.status() }
                #expect(reason?.contains("longer") == true, "\(reason ?? "")")
            }
        }
    }

    @Test func jsonThatIsNestedWithoutEndIsNoCrash() async throws {
        let deep = String(repeating: "[", count: 100_000)
        try await ScriptedHTTPServer.run({ _, _ in .answer("200 OK", "application/json", deep) }) { server in
            try await withClient(of: server.url) { client in
                #expect(await unavailable(client) { (client) async throws(FlushError) in _ = try await client.status() } != nil)
            }
        }
    }

    @Test func aServerThatNeverAnswersIsNotWaitedForLongerThanAllowed() async throws {
        try await ScriptedHTTPServer.run({ _, _ in .silence }) { server in
            try await withClient(
                of: server.url,
                {
                    $0.timeout = .milliseconds(300); $0.maximumConnections = 3
                }
            ) { client in
                let start = ContinuousClock.now
                // More than run at once: who waits for a connection has no more time than the others.
                let reasons = await withTaskGroup(of: String?.self) { group in
                    for _ in 0..<12 {
                        group.addTask {
                            await unavailable(client) { (client) async throws(FlushError) in
                                _ = try await client.flush(FlushRequest(.everything, via: .http, requestedBy: ""))
                            }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(ContinuousClock.now - start < .seconds(60))
                #expect(reasons.count == 12)
                #expect(reasons.filter { $0?.contains("whether it was carried out is not known") == true }.count >= 3, "\(reasons)")
                #expect(reasons.allSatisfy { $0?.contains("time") == true }, "\(reasons)")
            }
        }
    }

    @Test func nobodyThereIsToldAtOnce() async throws {
        let deaf = try DeafPort()
        try await withClient(of: "http://127.0.0.1:\(deaf.port)") { client in
            let reason = await unavailable(client) { (client) async throws(FlushError) in _ = try await client.status() }
            #expect(reason?.contains("cannot be reached") == true, "\(reason ?? "")")
        }
        try await withClient(of: "unix:/nonexistent/etrnd.sock") { client in
            let reason = await unavailable(client) { (client) async throws(FlushError) in _ = try await client.status() }
            #expect(reason?.contains("unix:/nonexistent/etrnd.sock/status cannot be reached") == true, "\(reason ?? "")")
        }
    }

    @Test func aQuestionIsAskedAgainWhenItsConnectionBrokeAndAChangeIsNot() async throws {
        try await ScriptedHTTPServer.run({ number, _ in number <= 2 ? .abort : .answer("200 OK", "text/plain", "ready\n") }) { server in
            try await withClient(of: server.url, { $0.retries = 2 }) { client in
                let refusal = await #expect(throws: FlushClientError.self) { try await client.api.status() }
                guard case .foreignAnswer? = refusal else {
                    Issue.record("\(refusal as Any)")
                    return
                }
                #expect(server.seen.heads.count == 3)
            }
        }
        try await ScriptedHTTPServer.run({ _, _ in .abort }) { server in
            try await withClient(of: server.url) { client in
                let reason = await unavailable(client) { (client) async throws(FlushError) in
                    _ = try await client.flush(FlushRequest(.everything, via: .http, requestedBy: ""))
                }
                #expect(reason?.contains("not known") == true, "\(reason ?? "")")
                #expect(server.seen.heads.count == 1)
            }
        }
    }

    /// libcurl would send it again by itself: the connection was good for a request before.
    @Test func aChangeIsNotRepeatedOnAKeptConnectionThatBreaks() async throws {
        let script: ScriptedHTTPServer.Script = { number, _ in
            number == 1 ? .answer("404 Not Found", "application/problem+json", #"{"type":"urn:etrnd:problem:not-found"}"#) : .abort
        }
        try await ScriptedHTTPServer.run(script) { server in
            try await withClient(of: server.url) { client in
                let unknown = try await client.domain(fast)
                #expect(unknown == nil)
                let refusal = await #expect(throws: FlushClientError.self) { _ = try await client.api.flush(.everything) }
                guard case .noAnswer? = refusal else {
                    Issue.record("\(refusal as Any)")
                    return
                }
                // It opens the second connection and is stopped there.
                #expect(server.seen.heads.count == 2)
            }
        }
    }

    @Test(arguments: [("1", 2), ("60", 1), ("Fri, 31 Dec 1999 23:59:59 GMT", 1)])
    func retryAfterIsKeptWhenItIsShort(_ field: String, _ requests: Int) async throws {
        let problem = #"{"type":"urn:etrnd:problem:unavailable","detail":"starting"}"#
        let script: ScriptedHTTPServer.Script = { number, _ in
            number == 1
                ? .answer("503 Busy", "application/problem+json", problem, "Retry-After: \(field)\r\n")
                : .answer("404 Not Found", "application/problem+json", #"{"type":"urn:etrnd:problem:not-found"}"#)
        }
        try await ScriptedHTTPServer.run(script) { server in
            try await withClient(of: server.url) { client in
                let reason = await unavailable(client) { (client) async throws(FlushError) in _ = try await client.domain(fast) }
                #expect(reason == (requests == 1 ? "starting" : nil))
                #expect(server.seen.heads.count == requests)
            }
        }
    }

    @Test func aServerThatIsRestartedIsFoundAgain() async throws {
        let first = try await LiveAPI()
        let port = first.port
        try await withClient(of: first.url) { client in
            #expect(try await client.domain(fast) != nil)
            // In the middle of a request that waits.
            try await first.trial.put(1, fast)
            let flush = try await client.flush(FlushRequest(.domain(fast, subdomains: false), via: .http, requestedBy: ""))
            async let waiting = client.flush(flush.id, waitingFor: .seconds(25))
            _ = await comesToBe { await first.loop.run { first.server.connectionCount } >= 1 }
            await first.end()
            let answer = try? await waiting
            #expect(answer == nil || answer?.state == .running || answer?.state == .interrupted)

            let second = try await LiveAPI(port: port)
            #expect(try await client.domain(fast)?.summary.messages == 0)
            _ = try await client.flush(FlushRequest(.everything, via: .http, requestedBy: ""))
            await second.end()
        }
    }

    // In processes of their own: other suites open descriptors all the time.

    @Test func aThousandFlushesAtOnceLeaveNothingBehind() async throws {
        await #expect(processExitsWith: .success) { try await expectNothingLeftBehind(by: flushManyAtOnce) }
    }

    @Test func brokenAndCancelledRequestsLeaveNothingBehind() async throws {
        await #expect(processExitsWith: .success) { try await expectNothingLeftBehind(by: breakAndCancelRequests) }
    }

    @Test func whoAsksAfterTheEndIsRefused() async throws {
        let loop = try EventLoop(label: "client")
        let client = FlushClient(to: try ServerAddress(parsing: "http://127.0.0.1:1"), loop: loop)
        await client.shutdown()
        await #expect(throws: FlushClientError.cancelled) { try await client.api.status() }
        await loop.run { loop.shutdown() }
    }
}

private func flushManyAtOnce() async throws {
    try await LiveAPI.run { live in
        for address in [live.url, "unix:\(live.path)"] {
            try await withClient(of: address) { client in
                let ids = try await withThrowingTaskGroup(of: FlushID.self) { group in
                    for number in 0..<1_000 {
                        group.addTask {
                            let domain = Samples.domain("d\(number).fast.example")
                            return try await client.flush(FlushRequest(.domain(domain, subdomains: false), via: .http, requestedBy: "")).id
                        }
                    }
                    return try await group.reduce(into: Set()) { $0.insert($1) }
                }
                #expect(ids.count == 1_000)
                let open = await live.loop.run { live.server.connectionCount }
                #expect(open <= 64)
            }
        }
        let isEmptied = await comesToBe { await live.loop.run { live.server.connectionCount } == 0 }
        #expect(isEmptied)
    }
}

private func breakAndCancelRequests() async throws {
    try await ScriptedHTTPServer.run({ number, _ in number % 3 == 0 ? .silence : number % 3 == 1 ? .abort : .sayAndClose("HTTP/1.1 200 OK\r\n") }) {
        server in
        try await withClient(of: server.url, { $0.timeout = .milliseconds(500) }) { client in
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        let asking = Task { try await client.flush(FlushRequest(.everything, via: .http, requestedBy: "")) }
                        if number % 2 == 0 { asking.cancel() }
                        _ = try? await asking.value
                    }
                }
            }
        }
    }
}
