// A server for one test, on a port of its own.

import DispatchSockets
import SMTPServer

/// A server on a port of its own; stopped, and its loop shut down, at the end.
func serving(
    _ intake: RecordingIntake?, etrn: (any ETRNHandler)? = nil, _ limits: SMTPLimits = SMTPLimits(),
    events: @escaping @Sendable (SMTPEvent) -> Void = { _ in },
    _ body: (SMTPServer, SocketAddress) async throws -> Void
) async throws {
    var limits = limits
    limits.linger = .milliseconds(200)
    let loop = try EventLoop(label: "smtp-test")
    let server = SMTPServer(loop: loop, hostname: "mail.example", limits: limits, intake: intake, etrn: etrn, events: events)
    let address = try await loop.run { () throws(SocketError) in
        try server.listen(at: .ipv4(0x7f00_0001, port: 0))
    }
    let result: Result<Void, any Error>
    do {
        result = .success(try await body(server, address))
    } catch {
        result = .failure(error)
    }
    await server.stop(within: .seconds(5))
    loop.shutdown()
    try result.get()
}

/// Something that happens once or more and can be waited for.
struct Signal: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func fire() { continuation.yield() }
    func wait() async { for await _ in stream { return } }
}
