// The API over real sockets: a core over fakes, the endpoints, the HTTP server, and clients of it.

import ControlAPI
import DispatchSockets
import FlushClient
import FlushCore
import FlushTesting
import FlushWire
import Glibc
import HTTPServer
import Testing

/// A server on a port and a UNIX socket of its own.
struct LiveAPI: Sendable {
    let loop: EventLoop
    let trial: FlushServiceTrial
    let server: HTTPServer
    let port: UInt16
    let path: String
    private let directory: String

    init(port wanted: UInt16 = 0, engineUsesMX: Bool = true, warnings: [String] = []) async throws {
        let loop = try EventLoop(label: "live-api")
        self.loop = loop
        let trial = try await FlushServiceTrial(executor: loop)
        self.trial = trial
        let facts = ControlAPI.Facts(
            version: "1.2.3", engine: "spool",
            policy: ServerPolicy(parameters: [.init(name: "slow_flush", value: "permit", source: "default")], warnings: warnings),
            engineUsesMX: engineUsesMX)
        let api = ControlAPI(
            service: trial.core, relayDomains: trial.core, bounces: nil, access: AccessControl(ownUser: geteuid()) { _ in true }, facts: facts,
            impediments: { await trial.core.impediments() })
        let router = api.routes()
        let server = HTTPServer(loop: loop, hostIsAllowed: { _, _ in true }, respond: router.respond)
        self.server = server
        var template = Array("/tmp/flush-client-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!).map { String(cString: $0) } }
        directory = try #require(made)
        let path = "\(directory)/s"
        self.path = path
        port = try await loop.run {
            _ = try server.listen(at: .unix(path: path))
            return try server.listen(at: .ipv4(0x7f00_0001, port: wanted)).address.port ?? 0
        }
    }

    var url: String { "http://127.0.0.1:\(port)" }

    func end() async {
        await trial.core.endWaits()
        await server.stop(within: .zero)
        await trial.core.stop()
        await loop.run { loop.shutdown() }
        unlink(path)
        rmdir(directory)
    }

    /// Runs `body` with a server, and ends the server.
    static func run<Result: Sendable>(_ body: (LiveAPI) async throws -> Result) async throws -> Result {
        let live = try await LiveAPI()
        do {
            let result = try await body(live)
            await live.end()
            return result
        } catch {
            await live.end()
            throw error
        }
    }
}

/// Runs `body` with a client on a loop of its own, and ends both.
func withClient<Result: Sendable>(
    of address: String, _ set: (inout FlushClientOptions) -> Void = { _ in }, _ body: (FlushClient) async throws -> Result
) async throws -> Result {
    let loop = try EventLoop(label: "client")
    var options = FlushClientOptions()
    options.timeout = .seconds(20)
    set(&options)
    let client = FlushClient(to: try ServerAddress(parsing: address), options: options, loop: loop)
    func end() async {
        await client.shutdown()
        await loop.run { loop.shutdown() }
    }
    do {
        let result = try await body(client)
        await end()
        return result
    } catch {
        await end()
        throw error
    }
}

/// Descriptors are counted between a first time, which opens for good what libraries keep, and a second one.
func expectNothingLeftBehind(by work: () async throws -> Void) async throws {
    try await work()
    var (before, isSettled) = (-1, false)
    while !isSettled {
        let now = openDescriptors()
        (before, isSettled) = (now, now == before)
        try await Task.sleep(for: .milliseconds(200))
    }
    try await work()
    let isBack = await comesToBe { openDescriptors() <= before }
    #expect(isBack)
}

/// How many descriptors this process has open.
func openDescriptors() -> Int {
    guard let directory = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
}

/// Waits, at most half a minute, until it is so.
func comesToBe(_ condition: () async throws -> Bool) async rethrows -> Bool {
    let end = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < end {
        if try await condition() { return true }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return try await condition()
}
