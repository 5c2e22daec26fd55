// Connections: what arrives, what leaves, and every way to part.

import DispatchSockets
import Glibc
import Testing

extension SocketTests {
    @Suite struct ConnectionTests {
        /// Every family, each with an address of its own.
        static let addresses: [String] = ["127.0.0.1:0", "unix"] + (hasIPv6 ? ["[::1]:0"] : [])

        /// Containers often have no IPv6, not even on loopback.
        private static let hasIPv6: Bool = {
            let descriptor = socket(AF_INET6, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return false }
            defer { Glibc.close(descriptor) }
            return SocketAddress.ipv6(1, port: 0, scope: 0).withSystemAddress { Glibc.bind(descriptor, $0, $1) } == 0
        }()

        static func withServer(
            _ kind: String, limits: ListenerLimits = ListenerLimits(), react: @escaping @Sendable (Connection, Event) -> Void,
            _ body: (TestServer) async throws -> Void
        ) async throws {
            let directory = try TemporaryDirectory()
            let address = kind == "unix" ? SocketAddress.unix(path: directory.path + "/s") : try SocketAddress(parsing: kind)
            try await body(try TestServer(at: address, limits: limits, react: react))
            withExtendedLifetime(directory) {}
        }

        static func echo(_ connection: Connection, _ event: Event) {
            switch event {
            case .received(let bytes): connection.write(bytes)
            case .end: connection.close()
            case .opened, .drained, .timedOut, .closed: break
            }
        }

        @Test(arguments: addresses) func answersWhatItIsSent(_ kind: String) async throws {
            try await Self.withServer(kind, react: Self.echo) { server in
                let client = try server.connect()

                for round in 0..<100 {
                    try client.send("round \(round)\n")
                    #expect(try client.receiveText(count: "round \(round)\n".count) == "round \(round)\n")
                }

                client.close()
                await server.events.waitForClose()
                #expect(server.events.values.last == .closed(nil))
            }
        }

        @Test(arguments: addresses) func aPeerThatHasClosedItsHalfStillGetsItsAnswer(_ kind: String) async throws {
            let react: @Sendable (Connection, Event) -> Void = { connection, event in
                guard case .end = event else { return }
                // Later, as a handler would that had to ask somebody.
                connection.loop.execute {
                    connection.write("the answer")
                    connection.close()
                }
            }
            try await Self.withServer(kind, react: react) { server in
                let client = try server.connect()
                try client.send("the question")
                client.finishSending()

                let answer = try client.receiveToEnd()

                #expect(String(decoding: answer, as: UTF8.self) == "the answer")
                await server.events.waitForClose()
                #expect(server.events.values == [.opened, .received(Array("the question".utf8)), .end, .closed(nil)])
            }
        }

        @Test func whatIsWrittenInOneTurnLeavesInOneSend() async throws {
            let server = try TestServer { connection, event in
                guard case .received = event else { return }
                for number in 0..<100 { connection.write("line \(number % 10)\n") }
            }
            let client = try server.connect()

            try client.send("go")

            #expect(try client.receiveOnce().count == 700)
        }

        @Test func twoConnectionsThatWriteInTurnsDoNotMix() async throws {
            let pair = Recorder<OnLoop<Connection>>()
            let server = try TestServer { connection, event in
                if case .opened = event { pair.add(OnLoop(value: connection)) }
            }
            let clients = [try server.connect(), try server.connect()]
            await pair.wait(forCount: 2)
            let connections = pair.values

            server.loop.sync {
                for _ in 0..<1000 {
                    connections[0].value.write("aaaa")
                    connections[1].value.write("bb")
                }
                for connection in connections { connection.value.close() }
            }

            #expect(try clients[0].receiveToEnd() == Array(repeating: UInt8(ascii: "a"), count: 4000))
            #expect(try clients[1].receiveToEnd() == Array(repeating: UInt8(ascii: "b"), count: 2000))
        }

        @Test(arguments: addresses) func aSlowReaderIsWaitedForAndLosesNothing(_ kind: String) async throws {
            let total = 16 * 1024 * 1024
            let chunk = (0..<10_007).map { UInt8(truncatingIfNeeded: $0) }
            let written = Recorder<Int>()
            let stops = Recorder<Int>()
            let react: @Sendable (Connection, Event) -> Void = { connection, event in
                guard event == .opened || event == .drained else { return }
                var sum = written.values.last ?? 0
                while sum < total {
                    sum += chunk.count
                    guard connection.write(chunk) else {
                        stops.add(connection.backlog)
                        break
                    }
                }
                written.add(sum)
                if sum >= total { connection.close() }
            }
            let limits = ListenerLimits(writeHighWater: 100_000, writeLowWater: 10_000)
            try await Self.withServer(kind, limits: limits, react: react) { server in
                let client = try server.connect()
                await stops.wait(forCount: 1)

                let received = try client.receiveToEnd()

                #expect(received.count == (total + chunk.count - 1) / chunk.count * chunk.count)
                #expect(stride(from: 0, to: received.count, by: chunk.count).allSatisfy { Array(received[$0..<($0 + chunk.count)]) == chunk })
                #expect(stops.values.allSatisfy { $0 <= limits.writeHighWater + chunk.count })
                client.close()
                await server.events.waitForClose()
                #expect(server.events.values.last == .closed(nil))
            }
        }

        @Test func aHandlerThatIgnoresBackPressureIsCutOff() async throws {
            let limits = ListenerLimits(writeHighWater: 1000, writeLowWater: 100, maximumBacklog: 1_000_000)
            let server = try TestServer(limits: limits) { connection, event in
                guard case .opened = event else { return }
                for _ in 0..<1000 { connection.write([UInt8](repeating: 0, count: 65536)) }
            }
            let client = try server.connect()

            await server.events.waitForClose()

            guard case .closed(.resource(let text)) = server.events.values.last else {
                Issue.record("closed otherwise: \(server.events.values)")
                return
            }
            #expect(text.contains("1000000"))
            #expect(throws: ClientError.self) { try client.receiveToEnd() }
        }

        @Test(arguments: addresses) func aResetInTheMiddleOfAnAnswerEndsTheConnectionOnce(_ kind: String) async throws {
            let react: @Sendable (Connection, Event) -> Void = { connection, event in
                guard case .received = event else { return }
                connection.write([UInt8](repeating: 7, count: 16_000_000))
            }
            try await Self.withServer(kind, react: react) { server in
                let client = try server.connect()
                try client.send("more than you can take")
                _ = try client.receive(count: 1000)

                client.resetOnClose()
                client.close()
                await server.events.waitForClose()
                server.loop.sync {}

                let ends = server.events.values.filter { if case .closed = $0 { true } else { false } }
                guard case .closed(let error?) = ends.first else {
                    Issue.record("closed without an error: \(ends)")
                    return
                }
                #expect(error.isDisconnect)
                #expect(ends.count == 1)
            }
        }

        @Test func aResetWhileNobodyReadsIsSeen() async throws {
            let server = try TestServer { connection, event in
                if case .opened = event { connection.pauseReading() }
            }
            let client = try server.connect()
            try client.send("unread")
            await server.events.wait(forCount: 1)

            client.resetOnClose()
            client.close()
            await server.events.waitForClose()

            #expect(server.events.values == [.opened, .closed(.system(operation: "connection", code: ECONNRESET))])
        }

        @Test(arguments: addresses) func theLastAnswerReachesAPeerThatStillSends(_ kind: String) async throws {
            let react: @Sendable (Connection, Event) -> Void = { connection, event in
                guard case .received = event else { return }
                connection.write([UInt8](repeating: 1, count: 100_000))
                // Longer than a busy machine lets the client take for its sending.
                connection.close(linger: .seconds(30))
            }
            try await Self.withServer(kind, react: react) { server in
                let client = try server.connect()

                try client.send([UInt8](repeating: 0, count: 2_000_000))
                client.finishSending()

                #expect(try client.receiveToEnd().count == 100_000)
                await server.events.waitForClose()
                #expect(server.events.values.count == 3, "bytes after close are dropped")
                #expect(server.events.values.last == .closed(nil))
            }
        }

        @Test func aPeerThatNeverClosesIsLeftAfterTheLinger() async throws {
            let server = try TestServer { connection, event in
                guard case .received = event else { return }
                connection.write("bye")
                connection.close(linger: .milliseconds(30))
            }
            let client = try server.connect()
            try client.send("hello")

            await server.events.waitForClose()

            #expect(server.events.values.last == .closed(nil))
            #expect(String(decoding: try client.receiveToEnd(), as: UTF8.self) == "bye")
        }

        @Test func abortResetsAndLosesWhatIsQueued() async throws {
            let server = try TestServer { connection, event in
                guard case .received = event else { return }
                connection.write("never sent")
                connection.abort()
                connection.write("nor this")
                connection.close()
                connection.abort()
            }
            let client = try server.connect()
            try client.send("hello")

            #expect { try client.receiveToEnd() } throws: { ($0 as? ClientError)?.code == ECONNRESET }

            await server.events.waitForClose()
            #expect(server.events.values == [.opened, .received(Array("hello".utf8)), .closed(nil)])
        }

        @Test func aConnectionWithoutAHandlerIsAborted() async throws {
            let loop = try EventLoop(label: "test")
            defer { loop.shutdown() }
            let address = try loop.sync { () throws(SocketError) in try loop.listen(at: .ipv4(0x7f00_0001, port: 0)) { _ in }.address }

            let client = try Client(to: address)

            #expect(throws: ClientError.self) { try client.receiveToEnd() }
        }

        @Test func aConnectionClosedByAnotherOneOfTheSameBatchIsNotTold() async throws {
            let open = Recorder<OnLoop<Connection>>()
            let server = try TestServer { connection, event in
                switch event {
                case .opened: open.add(OnLoop(value: connection))
                case .received: for other in open.values where other.value !== connection { other.value.abort() }
                default: break
                }
            }
            let clients = try (0..<8).map { _ in try server.connect() }
            await open.wait(forCount: 8)

            try server.whileBlocked { for client in clients { try client.send("all at once") } }
            await server.events.waitForClose(count: 7)

            #expect(server.events.values.filter { $0 == .received(Array("all at once".utf8)) }.count == 1)
            #expect(server.events.values.filter { $0 == .closed(nil) }.count == 7)
        }

        @Test func aDescriptorUsedAgainInTheSameBatchGetsNoEventsOfItsPredecessor() async throws {
            let open = Recorder<OnLoop<Connection>>()
            // Only these: the new one may have been accepted by then.
            let doomed = Recorder<[OnLoop<Connection>]>()
            let server = try TestServer { connection, event in
                switch event {
                case .opened: open.add(OnLoop(value: connection))
                case .received(let bytes) where bytes == Array("old".utf8):
                    for other in doomed.values.last ?? [] where other.value !== connection { other.value.abort() }
                default: break
                }
            }
            for round in 0..<50 {
                let old = try (0..<4).map { _ in try server.connect() }
                await open.wait(forCount: 5 * round + 4)
                doomed.add(open.values.suffix(4))

                let new = try server.whileBlocked {
                    for client in old.reversed() { try client.send("old") }
                    let client = try server.connect()
                    try client.send("new")
                    return client
                }
                await server.events.wait { $0.filter { $0 == .received(Array("new".utf8)) }.count > round }

                withExtendedLifetime((old, new)) {}
            }
            let received = server.events.values.filter { if case .received = $0 { true } else { false } }
            #expect(received.allSatisfy { $0 == .received(Array("old".utf8)) || $0 == .received(Array("new".utf8)) })
        }

        @Test(arguments: addresses) func whilePausedNothingIsReadAndNothingIsLost(_ kind: String) async throws {
            let paused = Recorder<OnLoop<Connection>>()
            let react: @Sendable (Connection, Event) -> Void = { connection, event in
                guard case .opened = event else { return }
                connection.pauseReading()
                paused.add(OnLoop(value: connection))
            }
            try await Self.withServer(kind, react: react) { server in
                let client = try server.connect()
                try client.send("kept in the kernel")
                client.close()
                await paused.wait(forCount: 1)
                let connection = paused.values[0]
                server.loop.sync {}
                let before = server.events.values

                server.loop.sync { connection.value.resumeReading() }
                await server.events.wait { $0.contains(.end) }
                server.loop.sync { connection.value.close() }
                await server.events.waitForClose()

                #expect(before == [.opened])
                #expect(server.events.values == [.opened, .received(Array("kept in the kernel".utf8)), .end, .closed(nil)])
            }
        }

        @Test func aPausedHandlerCanStillWrite() async throws {
            let server = try TestServer { connection, event in
                guard case .received = event else { return }
                connection.pauseReading()
                connection.write([UInt8](repeating: 9, count: 10_000_000))
            }
            let client = try server.connect()
            try client.send("x")
            try client.send("ignored")

            #expect(try client.receive(count: 10_000_000) == [UInt8](repeating: 9, count: 10_000_000))
        }

        @Test func aUnixPeerIsKnownByItsCredentials() async throws {
            let directory = try TemporaryDirectory()
            let peers = Recorder<Peer>()
            let server = try TestServer(at: .unix(path: directory.path + "/s")) { connection, event in
                if case .opened = event { peers.add(connection.peer) }
            }

            let client = try server.connect()
            await peers.wait(forCount: 1)

            let credentials = try #require(peers.values[0].credentials)
            #expect(credentials.uid == getuid())
            #expect(credentials.gid == getgid())
            #expect(credentials.pid == getpid())
            #expect(peers.values[0].address == .unix(path: ""))
            client.close()
        }

        @Test func aTCPPeerIsKnownByItsAddress() async throws {
            let peers = Recorder<Peer>()
            let server = try TestServer { connection, event in
                if case .opened = event { peers.add(connection.peer) }
            }

            let client = try server.connect()
            await peers.wait(forCount: 1)

            #expect(peers.values[0].address.host == "127.0.0.1")
            #expect(peers.values[0].address.port != 0)
            #expect(peers.values[0].credentials == nil)
            client.close()
        }
    }
}
