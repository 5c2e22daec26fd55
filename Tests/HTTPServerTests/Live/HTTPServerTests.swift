// Transcripts through a real port.
import DispatchSockets
import Testing

@testable import HTTPServer

@Suite(.timeLimit(.minutes(5))) struct HTTPServerTests {
    private static let hello = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test func keepsAConnectionForManyRequests() async throws {
        let live = try await LiveServer()

        let answers = try await live.client { address in
            let client = try RawClient(address)
            return try (0..<3).map { _ in try client.exchange(Self.hello) }
        }

        #expect(answers.map(\.status) == [200, 200, 200])
        #expect(answers.map(\.body) == ["hello", "hello", "hello"])
        #expect(answers[0].fields["connection"] == nil)
        #expect(answers[0].fields["date"]?.hasSuffix(" GMT") == true)
        await live.end()
    }

    @Test func answersPipelinedRequestsInOrder() async throws {
        let live = try await LiveServer()

        let bodies = try await live.client { address in
            let client = try RawClient(address)
            let paths = ["hello", "yield", "hello", "executor", "yield", "hello"]
            try client.send(paths.map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            return try paths.map { _ in try client.receive().body }
        }

        #expect(bodies == ["hello", "yielded", "hello", "true true true", "yielded", "hello"])
        await live.end()
    }

    @Test func answersALongPipelineInFewSends() async throws {
        let live = try await LiveServer()

        let (answers, reads) = try await live.client { address in
            let client = try RawClient(address)
            try client.send(String(repeating: Self.hello, count: 200) + Self.hello.replacing("\r\n\r\n", with: "\r\nConnection: close\r\n\r\n"))
            var (text, reads) = ("", 0)
            while true {
                let some = try client.receiveSome()
                if some.isEmpty { return (text.split(separator: "HTTP/1.1 200 OK").count, reads) }
                text += String(decoding: some, as: UTF8.self)
                reads += 1
            }
        }

        #expect(answers == 201)
        #expect(reads < 50)
        await live.end()
    }

    @Test func takesBodiesOfBothKinds() async throws {
        let live = try await LiveServer()
        let text = String(repeating: "0123456789abcdef", count: 20_000)

        let bodies = try await live.client { address in
            let client = try RawClient(address)
            let plain = try client.exchange("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<100 { try client.send("0C80\r\n\(text.prefix(3200))\r\n") }
            return [plain.body, try client.exchange("0\r\nX: y\r\n\r\n").body]
        }

        #expect(bodies == [text, text])
        await live.end()
    }

    @Test func givesLeaveToSendABody() async throws {
        let live = try await LiveServer()

        let answers = try await live.client { address in
            let client = try RawClient(address)
            let leave = try client.exchange("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            return [leave, try client.exchange("ok")]
        }

        #expect(answers.map(\.status) == [100, 200])
        #expect(answers[1].body == "ok")
        await live.end()
    }

    @Test(arguments: [
        (413, "Expect: 100-continue\r\nContent-Length: 9999999"), (417, "Expect: tea\r\nContent-Length: 2"),
        (421, "Expect: 100-continue\r\nContent-Length: 2"),
    ])
    func givesNoLeaveForABodyItWouldRefuse(_ status: Int, _ fields: String) async throws {
        let live = try await LiveServer()

        let text = try await live.client { address in
            let client = try RawClient(address)
            try client.send("POST /echo HTTP/1.1\r\nHost: \(status == 421 ? "b" : "a")\r\n\(fields)\r\n\r\n")
            return try client.receiveAll()
        }

        #expect(text.hasPrefix("HTTP/1.1 \(status) "))
        #expect(text.contains("Connection: close\r\n"))
        await live.end()
    }

    @Test func headHasNoBody() async throws {
        let live = try await LiveServer()

        let (head, next) = try await live.client { address in
            let client = try RawClient(address)
            try client.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" + Self.hello)
            return (try client.receive(toHead: true), try client.receive())
        }

        #expect(head.fields["content-length"] == "5")
        #expect(next.status == 200)
        #expect(next.body == "hello")
        await live.end()
    }

    @Test func httpOneZeroClosesUnlessAskedOtherwise() async throws {
        let live = try await LiveServer()

        let (kept, last) = try await live.client { address in
            let client = try RawClient(address)
            let kept = try client.exchange("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            try client.send("GET /hello HTTP/1.0\r\n\r\n")
            return (kept, try client.receiveAll())
        }

        #expect(kept.fields["connection"] == "keep-alive")
        #expect(last.contains("Connection: close\r\n"))
        await live.end()
    }

    @Test func closesWhenAskedAndTakesNothingAfterThat() async throws {
        let live = try await LiveServer()

        let text = try await live.client { address in
            let client = try RawClient(address)
            try client.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + Self.hello)
            return try client.receiveAll()
        }

        #expect(text.split(separator: "HTTP/1.1 ").count == 1)
        #expect(live.handled.value == 1)
        await live.end()
    }

    @Test func aHostOfSomebodyElseIsMisdirected() async throws {
        let live = try await LiveServer()

        let answers = try await live.client { address in
            let client = try RawClient(address)
            return [try client.exchange("GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n"), try client.exchange(Self.hello)]
        }

        #expect(answers.map(\.status) == [421, 200])
        #expect(live.handled.value == 1)
        await live.end()
    }

    @Test(arguments: [
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "GET /hello HTTP/1.1\nHost: a\n\n",
    ])
    func whatCouldBeSmuggledIsRefusedAndEnds(_ text: String) async throws {
        let live = try await LiveServer()

        let answer = try await live.client { address in
            let client = try RawClient(address)
            try client.send(text + Self.hello)
            return try client.receiveAll()
        }

        #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
        #expect(answer.contains("Content-Type: application/problem+json\r\n"))
        #expect(answer.split(separator: "HTTP/1.1 ").count == 1)
        #expect(live.handled.value == 0)
        await live.end()
    }

    @Test func aRefusalReachesAClientThatIsStillSending() async throws {
        // Longer than a busy machine lets the client take for its sending.
        var limits = HTTPLimits()
        limits.linger = .seconds(30)
        let live = try await LiveServer(limits: limits)

        let text = try await live.client { address in
            let client = try RawClient(address)
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n")
            try client.send([UInt8](repeating: 0x78, count: 4_000_000))
            return try client.receiveAll()
        }

        #expect(text.hasPrefix("HTTP/1.1 413 "))
        await live.end()
    }
}
