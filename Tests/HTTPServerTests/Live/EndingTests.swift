// How connections end: timeouts, clients that stop halfway, read slowly or vanish, and the server's own leaving.
import DispatchSockets
import SocketTesting
import Testing

@testable import HTTPServer

@Suite(.timeLimit(.minutes(5))) struct EndingTests {
    private static let hello = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

    private func impatient(_ change: (inout HTTPLimits) -> Void) -> HTTPLimits {
        var limits = HTTPLimits()
        change(&limits)
        return limits
    }

    @Test(arguments: ["G", "GET / HTTP/1.1\r\nHost: a\r\n"])
    func aHeadThatDoesNotComeTimesOut(_ start: String) async throws {
        let live = try await LiveServer(limits: impatient { $0.headerTimeout = .milliseconds(100) })

        let text = try await live.client { address in
            let client = try RawClient(address)
            try client.send(start)
            return try client.receiveAll()
        }

        #expect(text.hasPrefix("HTTP/1.1 408 "))
        await live.end()
    }

    @Test func aHeadThatDripsTimesOutToo() async throws {
        let live = try await LiveServer(limits: impatient { $0.headerTimeout = .milliseconds(200) })

        let dripped = try await live.client { address in
            let client = try RawClient(address)
            // One byte every 10 ms never lets the connection be quiet; only a total bound ends it.
            for count in 0..<3000 {
                do { try client.send(count == 0 ? "GET /" : "x") } catch { return count }
                if try client.isReadable(within: 10) { return count }
            }
            return 3000
        }

        #expect(dripped < 3000)
        await live.end()
    }

    @Test func aBodyThatDoesNotComeTimesOut() async throws {
        let live = try await LiveServer(limits: impatient { $0.bodyTimeout = .milliseconds(100) })

        let text = try await live.client { address in
            let client = try RawClient(address)
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell")
            return try client.receiveAll()
        }

        #expect(text.hasPrefix("HTTP/1.1 408 "))
        #expect(live.handled.value == 0)
        await live.end()
    }

    @Test func anIdleConnectionIsClosedWithoutAWord() async throws {
        let live = try await LiveServer(limits: impatient { $0.idleTimeout = .milliseconds(100) })

        let (fresh, used) = try await live.client { address in
            let fresh = try RawClient(address).receiveAll()
            // A busy machine may keep us from asking until the connection counts as idle: then it is to be asked on another one.
            for _ in 0..<100 {
                let client = try RawClient(address)
                if (try? client.exchange(Self.hello)) != nil { return (fresh, try client.receiveAll()) }
            }
            throw ClientError("never answered")
        }

        #expect(fresh == "")
        #expect(used == "")
        #expect(await live.isEmptied())
        await live.end()
    }

    @Test func aHandlerMayTakeLongerThanAnyTimeout() async throws {
        let live = try await LiveServer(
            limits: impatient { ($0.idleTimeout, $0.headerTimeout, $0.writeTimeout) = (.milliseconds(50), .milliseconds(50), .milliseconds(50)) })

        let client = try await live.client { address in
            for _ in 0..<100 {
                let client = try RawClient(address)
                // A busy machine may keep us from asking until the connection counts as idle: then it is to be asked on another one.
                guard (try? client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")) != nil else { continue }
                while live.handled.value == 0, try !client.isReadable(within: 5) {}
                guard live.handled.value == 1 else { continue }
                // Longer than all the timeouts; an answer or an end would show here.
                #expect(try !client.isReadable(within: 300))
                return client
            }
            throw ClientError("never handled")
        }
        live.gate.open()
        let answer = try await live.client { _ in try client.receive() }

        #expect(answer.body == "passed")
        await live.end()
    }

    @Test func aClientThatHasFinishedSendingGetsItsAnswers() async throws {
        let live = try await LiveServer()

        let client = try await live.client { address in
            let client = try RawClient(address)
            try client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n" + Self.hello)
            client.finishSending()
            return client
        }
        await live.entered.pass()
        live.gate.open()
        let text = try await live.client { _ in try client.receiveAll() }

        #expect(text.split(separator: "HTTP/1.1 200 OK").count == 2)
        #expect(text.hasSuffix("hello"))
        #expect(await live.isEmptied())
        await live.end()
    }

    @Test func aRequestCutShortIsRefused() async throws {
        let live = try await LiveServer()

        let text = try await live.client { address in
            let client = try RawClient(address)
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell")
            client.finishSending()
            return try client.receiveAll()
        }

        #expect(text.hasPrefix("HTTP/1.1 400 "))
        #expect(live.handled.value == 0)
        await live.end()
    }

    @Test func aClientThatVanishesDoesNotStopItsHandler() async throws {
        let live = try await LiveServer()

        try await live.client { address in
            let client = try RawClient(address)
            try client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
        }
        await live.entered.pass()
        try await live.client { address in
            let other = try RawClient(address)
            try other.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
            other.reset()
        }
        live.gate.open()
        await live.left.pass()

        #expect(await live.isEmptied())
        let answer = try await live.client { try RawClient($0).exchange(Self.hello) }
        #expect(answer.status == 200)
        await live.end()
    }

    @Test func requestsBehindASlowHandlerAreHeldBackInTheClient() async throws {
        let live = try await LiveServer()
        let requests = Array(String(repeating: Self.hello, count: 1000).utf8)

        let client = try await live.client { address in
            let client = try RawClient(address)
            try client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
            return client
        }
        await live.entered.pass()
        let sent = try await live.client { _ in try client.flood(requests, most: 64 * 1024 * 1024) }

        #expect(sent < 64 * 1024 * 1024)
        #expect(live.handled.value == 1)
        live.gate.open()
        await live.end()
    }

    @Test func aClientThatDoesNotReadIsNotServedOnAndCutOff() async throws {
        let live = try await LiveServer(limits: impatient { $0.writeTimeout = .milliseconds(200) })

        let client = try await live.client { address in
            let client = try RawClient(address, receiveBuffer: 4096)
            try client.send(String(repeating: "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", count: 10))
            return client
        }

        // Not before it has begun: a connection that nobody has accepted yet is none.
        #expect(await live.hasHandled(1))
        #expect(await live.isEmptied())
        #expect(live.handled.value == 1)
        #expect(throws: ClientError.self) { try client.receiveAll() }
        await live.end()
    }

    @Test func aClientThatReadsSlowlyGetsEverything() async throws {
        // What counts is the progress within it: a busy machine must not make the whole of us too slow, but all of it takes longer.
        let live = try await LiveServer(limits: impatient { $0.writeTimeout = .seconds(3) })

        let counts = try await live.client { address in
            let client = try RawClient(address, receiveBuffer: 16 * 1024)
            try client.send(String(repeating: "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", count: 2) + Self.hello)
            return try (0..<3).map { _ in
                var count = 0
                let length = try client.receiveHead().fields["content-length"].flatMap { Int($0) } ?? 0
                while count < length {
                    count += try client.receiveSome(min(length - count, 64 * 1024)).count
                    try client.rest(milliseconds: 10)
                }
                return count
            }
        }

        #expect(counts == [LiveServer.largeBody, LiveServer.largeBody, 5])
        await live.end()
    }

    @Test func stoppingFinishesWhatIsInFlight() async throws {
        let live = try await LiveServer(limits: impatient { $0.linger = .milliseconds(100) })
        let (idle, busy) = try await live.client { address in
            let idle = try RawClient(address)
            _ = try idle.exchange(Self.hello)
            let busy = try RawClient(address)
            try busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n" + Self.hello)
            return (idle, busy)
        }
        await live.entered.pass()

        async let stopped: Void = live.server.stop(within: .seconds(RawClient.patience))
        let farewell = try await live.client { _ in try idle.receiveAll() }
        let refused = try await live.client { address in (try? RawClient(address)) == nil }
        live.gate.open()
        let text = try await live.client { _ in try busy.receiveAll() }
        await stopped

        #expect(farewell == "")
        #expect(refused)
        #expect(text.contains("Connection: close\r\n"))
        #expect(text.hasSuffix("passed"))
        await live.end()
    }

    @Test func stoppingDoesNotWaitForever() async throws {
        let live = try await LiveServer()
        let client = try await live.client { address in
            let client = try RawClient(address)
            try client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n")
            return client
        }
        await live.entered.pass()

        await live.server.stop(within: .milliseconds(50))

        #expect(await live.loop.run { live.server.connectionCount } == 0)
        #expect(throws: ClientError.self) { try client.receive() }
        live.gate.open()
        await live.end()
    }
}
