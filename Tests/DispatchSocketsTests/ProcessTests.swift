// What concerns the whole process: its descriptors and its signals. Each test has a process of its own.

import Glibc
import Testing

@testable import DispatchSockets

extension SocketTests {
    @Suite(.serialized) struct ProcessTests {
        @Test func outOfDescriptorsTheListenerWaitsInsteadOfSpinning() async {
            await #expect(processExitsWith: .success) {
                alarm(240)  // Nobody else would end a child that hangs.
                var limit = rlimit(rlim_cur: 256, rlim_max: 256)
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                let open = Recorder<OnLoop<Connection>>()
                let server = try TestServer { connection, event in
                    if case .opened = event { open.add(OnLoop(value: connection)) }
                }
                let clients = try (0..<3).map { _ in try UnconnectedClient() }
                try clients[0].connect(to: server.address)
                await open.wait(forCount: 1)
                var fillers: [CInt] = []
                while case let filler = Glibc.open("/dev/null", O_RDONLY), filler >= 0 { fillers.append(filler) }
                precondition(errno == EMFILE)

                try clients[1].connect(to: server.address)
                for _ in 0..<100_000 where !server.loop.sync({ server.listener.value.isStarved }) { sched_yield() }
                precondition(server.loop.sync { server.listener.value.isStarved }, "it has not noticed")
                precondition(comesToRest(server.loop), "it spins")
                precondition(open.values.count == 1)

                // A connection of the loop gives its descriptor back: the next is taken at once.
                let start = ContinuousClock.now
                let isStarved = server.loop.sync {
                    open.values[0].value.abort()
                    return server.listener.value.isStarved
                }
                precondition(!isStarved, "it waits for the timer")
                await open.wait(forCount: 2)

                // Somebody else gives one back: only time tells.
                try clients[2].connect(to: server.address)
                for _ in 0..<100_000 where !server.loop.sync({ server.listener.value.isStarved }) { sched_yield() }
                close(fillers.removeLast())
                await open.wait(forCount: 3)
                precondition(ContinuousClock.now - start >= .milliseconds(900))
                withExtendedLifetime(clients) {}
            }
        }

        @Test func tenThousandIdleConnectionsCostLittle() async throws {
            let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
                alarm(240)
                // Both ends are in this process. A privileged one may raise the hard limit.
                var limit = rlimit(rlim_cur: 20_200, rlim_max: 20_200)
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                let descriptors = try ProcessLimits.raiseOpenFiles()
                let count = min(10_000, (descriptors - 100) / 2)
                let opened = Recorder<Int>()
                let loop = try EventLoop(label: "idle")
                let handler = OnLoop(value: IdleHandler())
                let address = try loop.sync { () throws(SocketError) in
                    var accepted = 0
                    return try loop.listen(at: .ipv4(0x7f00_0001, port: 0)) { connection in
                        connection.handler = handler.value
                        connection.setDeadline(after: .seconds(60))
                        accepted += 1
                        if accepted % 500 == 0 || accepted == count { opened.add(accepted) }
                    }.address
                }
                let clients = try (0..<count).map { _ in try UnconnectedClient() }
                try clients[0].connect(to: address)
                loop.sync {}
                let before = residentBytes()
                for (index, client) in clients.enumerated().dropFirst() {
                    try client.connect(to: address)
                    if index % 500 == 499 { await opened.wait { ($0.last ?? 0) >= index } }
                }
                await opened.wait { $0.last == count }
                let each = (residentBytes() - before) / count
                precondition(comesToRest(loop), "idle connections keep the loop awake")
                precondition(each < 1024, "an idle connection costs \(each) bytes")

                // Not one is lost: all answer.
                for client in clients { try client.exchange() }
                print("\(count) idle connections: \(each) bytes each; with all of them an answer")
            }
            print(String(decoding: result?.standardOutputContent ?? [], as: UTF8.self))
        }

        @Test func signalsComeToTheLoop() async {
            await #expect(processExitsWith: .success) {
                alarm(240)  // Nobody else would end a child that hangs.
                let loop = try EventLoop(label: "signals")
                let seen = Recorder<CInt>()
                let watch = SignalWatch([SIGTERM, SIGHUP], on: loop) { number in
                    loop.preconditionCurrent()
                    seen.add(number)
                }
                await watch.ready()
                for round in 1...50 {
                    kill(getpid(), SIGTERM)
                    await seen.wait { $0.filter { $0 == SIGTERM }.count >= round }
                }
                kill(getpid(), SIGHUP)
                await seen.wait { $0.last == SIGHUP }
                watch.cancel()
            }
        }
    }
}

final class IdleHandler: ConnectionHandler {
    func connection(_ connection: Connection, received bytes: RawSpan) { connection.write(bytes) }
    func connectionClosed(_ connection: Connection, error: SocketError?) {}
}

/// A client whose descriptor is there before it connects.
final class UnconnectedClient: Sendable {
    let descriptor: CInt

    init() throws {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ClientError(operation: "socket", code: errno) }
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    func connect(to address: SocketAddress) throws {
        let code = address.withSystemAddress { Glibc.connect(descriptor, $0, $1) == 0 ? 0 : errno }
        guard code == 0 else { throw ClientError(operation: "connect", code: code) }
    }

    func exchange() throws {
        var byte: UInt8 = 42
        guard send(descriptor, &byte, 1, CInt(MSG_NOSIGNAL)) == 1, recv(descriptor, &byte, 1, 0) == 1, byte == 42 else {
            throw ClientError(operation: "exchange", code: errno)
        }
    }

    deinit { close(descriptor) }
}

func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, 256, file) != nil else { return 0 }
    let fields = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).split(separator: " ")
    return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(getpagesize())
}
