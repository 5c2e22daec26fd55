// A server on a port of its own.
import DispatchSockets
import HTTPTypes
import SocketTesting
import Synchronization

@testable import HTTPServer

/// A server with some handlers that tests need.
///
/// `/echo` answers with the body, `/hello` with "hello", `/yield` the same after suspending, `/gate` when `gate` opens,
/// `/large` with `largeBody` bytes, `/executor` with whether it ran on the loop before and after suspending.
struct LiveServer: Sendable {
    static let largeBody = 8 * 1024 * 1024

    let loop: EventLoop
    let server: HTTPServer
    let address: SocketAddress
    let gate = Gate()
    /// Opens when a handler of `/gate` has been entered.
    let entered = Gate()
    /// Opens when a handler of `/gate` has ended.
    let left = Gate()
    let handled = Counter()

    final class Counter: Sendable {
        private let number = Mutex(0)
        var value: Int { number.withLock { $0 } }
        func add() { number.withLock { $0 += 1 } }
    }

    init(limits: HTTPLimits = HTTPLimits()) async throws {
        let loop = try EventLoop(label: "test")
        self.loop = loop
        let (gate, entered, left, handled) = (gate, entered, left, handled)
        var router = Router()
        router.on(.get, "/hello") { _ in .now(Response(contentType: "text/plain", body: .text("hello"))) }
        router.on(.post, "/echo") { request in .now(Response(contentType: "text/plain", body: .bytes(request.body))) }
        router.on(.get, "/fields") { request in .now(Response(body: .text(request.field(.accept) ?? "none"))) }
        router.on(.get, "/yield") { _ in
            .later {
                await Task.yield()
                return Response(body: .text("yielded"))
            }
        }
        router.on(.get, "/gate") { _ in
            .later {
                entered.open()
                await gate.pass()
                left.open()
                return Response(body: .text("passed"))
            }
        }
        router.on(.get, "/large") { _ in .now(Response(body: .bytes([UInt8](repeating: 0x78, count: Self.largeBody)))) }
        router.on(.get, "/executor") { _ in
            let first = loop.isCurrent
            return .later {
                let before = loop.isCurrent
                await Task.yield()
                return Response(body: .text("\(first) \(before) \(loop.isCurrent)"))
            }
        }
        let table = router
        let server = HTTPServer(loop: loop, limits: limits) { host, _ in
            host == "a" || host == ""
        } respond: { request in
            handled.add()
            return table.respond(to: request)
        }
        self.server = server
        address = try await loop.run { try server.listen(at: .ipv4(0x7f00_0001, port: 0)).address }
    }

    /// Runs a blocking piece of a test where it holds up nobody.
    func client<Result: Sendable>(_ body: @escaping @Sendable (SocketAddress) throws -> Result) async throws -> Result {
        let address = address
        return try await blocking { try body(address) }
    }

    /// Returns when the server has no connection any more; false after `RawClient.patience`.
    func isEmptied() async -> Bool { await becomes { await loop.run { server.connectionCount } == 0 } }

    /// Returns when so many requests have reached a handler; false after `RawClient.patience`.
    func hasHandled(_ count: Int) async -> Bool { await becomes { handled.value >= count } }

    private func becomes(_ condition: () async -> Bool) async -> Bool {
        let end = ContinuousClock.now + .seconds(RawClient.patience)
        while ContinuousClock.now < end {
            if await condition() { return true }
            try? await Task.sleep(for: .milliseconds(2))
        }
        return false
    }

    func end() async {
        await server.stop(within: .zero)
        loop.shutdown()
    }
}
