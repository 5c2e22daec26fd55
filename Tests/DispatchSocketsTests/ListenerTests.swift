// Listeners: addresses, limits, and UNIX sockets that were left behind.

import DispatchSockets
import Glibc
import Testing

extension SocketTests {
    @Suite struct ListenerTests {
        static func ignore(_ connection: Connection, _ event: Event) {}

        @Test func tellsTheRealPort() throws {
            let server = try TestServer(react: Self.ignore)

            #expect(server.address.port != 0)
            _ = try server.connect()
        }

        @Test func refusesAnAddressThatIsInUse() throws {
            let server = try TestServer(react: Self.ignore)

            #expect {
                try TestServer(at: server.address, react: Self.ignore)
            } throws: { error in
                guard case .inUse(let text) = error as? SocketError else { return false }
                return text.contains("\(server.address)")
            }
        }

        @Test func refusesAnAddressOfAnotherMachine() throws {
            #expect {
                try TestServer(at: try SocketAddress(parsing: "192.0.2.1:0"), react: Self.ignore)
            } throws: { error in
                guard case .system(_, let code) = error as? SocketError else { return false }
                return code == EADDRNOTAVAIL
            }
        }

        @Test func atItsLimitPeersWaitUntilAConnectionIsClosed() async throws {
            let open = Recorder<OnLoop<Connection>>()
            let server = try TestServer(limits: ListenerLimits(maximumConnections: 2)) { connection, event in
                if case .opened = event { open.add(OnLoop(value: connection)) }
            }
            let clients = try (0..<4).map { _ in try server.connect() }
            await open.wait(forCount: 2)
            server.loop.sync {}
            let before = server.loop.sync { server.listener.value.connectionCount }

            server.loop.sync { open.values[0].value.abort() }
            await open.wait(forCount: 3)
            clients[1].close()
            server.loop.sync { open.values[1].value.abort() }
            await open.wait(forCount: 4)

            #expect(before == 2)
            let after = server.loop.sync { server.listener.value.connectionCount }
            #expect(after == 2)
        }

        @Test func whilePausedPeersWait() async throws {
            let server = try TestServer(react: Self.ignore)
            server.loop.sync { server.listener.value.pause() }
            let client = try server.connect()
            for _ in 0..<20 { server.loop.sync {} }
            let before = server.events.values

            server.loop.sync { server.listener.value.resume() }
            await server.events.wait(forCount: 1)

            #expect(before.isEmpty)
            client.close()
        }

        @Test func closingItLetsItsConnectionsLive() async throws {
            let server = try TestServer(react: ConnectionTests.echo)
            let client = try server.connect()
            try client.send("1")
            _ = try client.receive(count: 1)

            server.loop.sync {
                server.listener.value.close()
                server.listener.value.close()
            }

            #expect(throws: ClientError.self) { try server.connect() }
            try client.send("still here")
            #expect(try client.receiveText(count: 10) == "still here")
            client.close()
            await server.events.waitForClose()
        }

        @Test func aStaleSocketIsReplaced() throws {
            let directory = try TemporaryDirectory()
            let path = directory.path + "/s"
            try Self.leaveSocket(at: path)

            let server = try TestServer(at: .unix(path: path), react: Self.ignore)

            _ = try server.connect()
            #expect(access(path + ".stale", F_OK) != 0)
        }

        @Test func aSocketThatAnswersIsLeftAlone() throws {
            let directory = try TemporaryDirectory()
            let first = try TestServer(at: .unix(path: directory.path + "/s"), react: Self.ignore)

            #expect {
                try TestServer(at: first.address, react: Self.ignore)
            } throws: { error in
                guard case .inUse(let text) = error as? SocketError else { return false }
                return text.contains(directory.path) && text.contains("another process")
            }
            _ = try first.connect()
        }

        @Test func aFileOfAnotherKindIsLeftAlone() throws {
            let directory = try TemporaryDirectory()
            let path = directory.path + "/s"
            close(open(path, O_CREAT | O_WRONLY, 0o600))

            #expect(throws: SocketError.inUse("unix:\(path): there is a file at this path that is no socket; it stays as it is")) {
                try TestServer(at: .unix(path: path), react: Self.ignore)
            }
            #expect(access(path, F_OK) == 0)
        }

        @Test func aMissingDirectoryIsNamed() throws {
            #expect(throws: SocketError.system(operation: "bind to unix:/nonexistent/s", code: ENOENT)) {
                try TestServer(at: .unix(path: "/nonexistent/s"), react: Self.ignore)
            }
        }

        @Test func closingRemovesTheSocketsFile() throws {
            let directory = try TemporaryDirectory()
            let server = try TestServer(at: .unix(path: directory.path + "/s"), react: Self.ignore)
            #expect(access(directory.path + "/s", F_OK) == 0)

            server.loop.sync { server.listener.value.close() }

            #expect(access(directory.path + "/s", F_OK) != 0)
        }

        @Test func closingLeavesASuccessorsFileAlone() throws {
            let directory = try TemporaryDirectory()
            let path = directory.path + "/s"
            let first = try TestServer(at: .unix(path: path), react: Self.ignore)
            unlink(path)
            let second = try TestServer(at: .unix(path: path), react: Self.ignore)

            first.loop.sync { first.listener.value.close() }

            _ = try second.connect()
        }

        @Test(arguments: [0o600, 0o660, 0o666] as [UInt32]) func theFileHasTheModeThatWasAskedFor(_ mode: UInt32) throws {
            let directory = try TemporaryDirectory()
            let server = try TestServer(
                at: .unix(path: directory.path + "/s"), limits: ListenerLimits(socketMode: mode), react: Self.ignore)

            var status = stat()
            try #require(lstat(server.address.host, &status) == 0)

            #expect(status.st_mode & 0o777 == mode)
        }

        /// What a crash leaves: a bound socket's file without the socket.
        private static func leaveSocket(at path: String) throws {
            let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            let code = SocketAddress.unix(path: path).withSystemAddress { Glibc.bind(descriptor, $0, $1) }
            try #require(code == 0)
            Glibc.close(descriptor)
        }
    }
}
