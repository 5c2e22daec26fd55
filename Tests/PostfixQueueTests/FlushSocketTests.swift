// The flush socket on a real UNIX socket, with clients that behave and others that do not.

import Dispatch
import DispatchSockets
import FlushCore
import FlushTesting
import Glibc
import Logging
import Testing

@testable import PostfixQueue

/// A flush service that records what it was asked.
private struct AskedService: FlushService {
    let asked = Recorder<String>()
    var refusal: FlushError?

    private func note(_ what: String) throws(FlushError) {
        asked.append(what)
        if let refusal { throw refusal }
    }

    func add(_ id: QueueID, to domain: DomainName) async throws(FlushError) { try note("add \(id) \(domain)") }
    func flush(_ request: FlushRequest) async throws(FlushError) -> Flush {
        try note("flush \(request.selector) \(request.via) \(request.requestedBy)")
        return Samples.flush(1)
    }
    func preview(_ request: FlushRequest) async throws(FlushError) -> Flush {
        try note("preview \(request.selector)")
        return Samples.flush(1)
    }
    func flush(_ id: FlushID, waitingFor patience: Duration) async throws(FlushError) -> Flush? { nil }
    func flushes(_ query: FlushQuery) async throws(FlushError) -> [Flush] { [] }
    func cancel(_ id: FlushID) async throws(FlushError) -> Flush? { nil }
    func refresh() async throws(FlushError) -> Int {
        try note("refresh")
        return 0
    }
    func purge() async throws(FlushError) -> Int {
        try note("purge")
        return 0
    }
    func domains(_ query: DomainQuery) async throws(FlushError) -> [DomainSummary] { [] }
    func domain(_ name: DomainName) async throws(FlushError) -> DomainDetail? { nil }
    func messages(for domain: DomainName, after cursor: MessageCursor?, limit: Int) async throws(FlushError) -> MessagePage? { nil }
    func message(_ id: QueueID) async throws(FlushError) -> MessageDescription { throw .messageNotFound(id) }
    func remove(_ id: QueueID) async throws(FlushError) {}
    func status() async throws(FlushError) -> FlushStatus { throw .queueUnavailable(reason: "no status here") }
}

@Suite(.timeLimit(.minutes(5))) struct FlushSocketTests {
    private static let greeting = "protocol\0queue_flush_protocol\0\0"

    private func serving(
        _ service: AskedService = AskedService(), idle: Duration = .seconds(60),
        _ body: (FlushSocket, FakePostfix) async throws -> Void
    ) async throws {
        let postfix = try FakePostfix()
        let loop = try EventLoop(label: "flush-socket-test")
        var limits = FlushSocket.Limits()
        limits.idleTimeout = idle
        limits.fileCheck = .milliseconds(20)
        limits.takeBack = .milliseconds(40)
        let socket = FlushSocket(
            path: "\(postfix.layout.queueDirectory)/public/etrnd", service: service, loop: loop, limits: limits,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await loop.run { () throws(SocketError) in try socket.start() }
        let result: Result<Void, any Error>
        do { result = .success(try await body(socket, postfix)) } catch { result = .failure(error) }
        await socket.stop()
        loop.shutdown()
        try result.get()
    }

    /// Everything that the server says until it closes.
    private func ask(_ socket: FlushSocket, _ bytes: String, halfClose: Bool = false) async throws -> String {
        let path = socket.path
        return try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "flush-client").async { @Sendable in
                continuation.resume(with: Result { try Self.converse(path, Array(bytes.utf8), halfClose: halfClose) })
            }
        }
    }

    private func expect(
        _ socket: FlushSocket, _ bytes: String, halfClose: Bool = false, _ answer: String, at location: SourceLocation = #_sourceLocation
    ) async throws {
        let got = try await ask(socket, bytes, halfClose: halfClose)
        #expect(got == answer, sourceLocation: location)
    }

    private static func converse(_ path: String, _ bytes: [UInt8], halfClose: Bool) throws -> String {
        let client = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(client) }
        var patience = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard SocketAddress.unix(path: path).withSystemAddress({ connect(client, $0, $1) }) == 0 else {
            throw SocketError.system(operation: "connect", code: errno)
        }
        if !bytes.isEmpty { _ = send(client, bytes, bytes.count, CInt(MSG_NOSIGNAL)) }
        if halfClose { Glibc.shutdown(client, CInt(SHUT_WR)) }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while true {
            let got = read(client, &chunk, chunk.count)
            guard got > 0 else { break }
            answer += chunk[..<got]
        }
        return String(decoding: answer, as: UTF8.self)
    }

    private func status(_ number: String) -> String { Self.greeting + "status\0\(number)\0\0" }

    @Test func recordsAnAdd() async throws {
        let service = AskedService()
        try await serving(service) { socket, _ in
            try await expect(socket, "request\0add\0site\0Customer.Test\0queue_id\002CFAF924E6\0\0", status("0"))
            #expect(service.asked.elements == ["add 02CFAF924E6 customer.test"])
            #expect(socket.counters.adds == 1)
        }
    }

    @Test func flushesADomainAndAMessage() async throws {
        let service = AskedService()
        try await serving(service) { socket, _ in
            try await expect(socket, "request\0send_site\0site\0customer.test\0\0", status("0"))
            try await expect(socket, "request\0send_file\0queue_id\0A1B2\0\0", status("0"))
            #expect(service.asked.elements.count == 2)
            #expect(service.asked.elements.allSatisfy { $0.contains("postfix unix:\(geteuid())") })
        }
    }

    @Test(arguments: [
        ("request\0add\0site\0[192.0.2.1]\0queue_id\0A1\0\0", "4"),
        ("request\0add\0site\0a.test\0queue_id\0../../etc\0\0", "3"),
        ("request\0add\0site\0a.test\0queue_id\0\0\0", "3"),
        ("request\0send_site\0site\0127.0.0.1\0\0", "4"),
        ("request\0send_site\0site\0.customer.test\0\0", "4"),
        ("request\0send_file\0queue_id\0A/B\0\0", "3"),
        ("request\0add\0queue_id\0A1\0site\0a.test\0\0", "3"),
    ])
    func refusesWhatMakesNoSense(_ request: String, _ expected: String) async throws {
        let service = AskedService()
        try await serving(service) { socket, _ in
            try await expect(socket, request, status(expected))
            #expect(service.asked.elements.isEmpty)
        }
    }

    @Test(arguments: [
        (FlushError.notEligible(DomainName("a.test")!, reason: "no"), "4"), (.queueUnavailable(reason: "down"), "4294967295"),
        (.limited(retryAfter: .seconds(1)), "4"), (.messageNotFound(QueueID("A1")!), "0"),
    ])
    func tellsARefusal(_ refusal: FlushError, _ expected: String) async throws {
        try await serving(AskedService(refusal: refusal)) { socket, _ in
            try await expect(socket, "request\0send_site\0site\0a.test\0\0", status(expected))
        }
    }

    @Test(arguments: [("request\0rfrsh\0\0", "refresh"), ("request\0purge\0\0", "purge"), ("W\0", "refresh")])
    func maintenanceIsAnsweredAndDone(_ request: String, _ done: String) async throws {
        let service = AskedService()
        try await serving(service) { socket, _ in
            try await expect(socket, request, status("0"))
            try await until { service.asked.elements == [done] }
        }
    }

    @Test(arguments: ["request\0nonsense\0\0", "X\0", "\0", "site\0a.test\0\0"])
    func whoAsksForNothingKnownIsHungUpOn(_ request: String) async throws {
        try await serving { socket, _ in try await expect(socket, request, Self.greeting) }
    }

    @Test func aListWithoutEndIsRefused() async throws {
        try await serving { socket, _ in
            try await expect(socket, String(repeating: "x", count: 3_000), status("3"))
        }
    }

    @Test func aSecondRequestIsIgnored() async throws {
        let service = AskedService()
        try await serving(service) { socket, _ in
            let add = "request\0add\0site\0a.test\0queue_id\0A1\0\0"
            try await expect(socket, add + add, status("0"))
            #expect(service.asked.elements.count == 1)
        }
    }

    @Test func whoSaysNothingIsHungUpOn() async throws {
        try await serving(idle: .milliseconds(30)) { socket, _ in try await expect(socket, "", Self.greeting) }
    }

    @Test func aHalfClosedClientGetsItsStatus() async throws {
        try await serving { socket, _ in
            try await expect(socket, "request\0add\0site\0a.test\0queue_id\0A1\0\0", halfClose: true, status("0"))
            try await expect(socket, "request\0add\0site\0", halfClose: true, Self.greeting)
        }
    }

    @Test func aSocketThatWasRemovedIsMadeAgain() async throws {
        try await serving { socket, _ in
            unlink(socket.path)

            try await until { socket.counters.rebinds == 1 }

            try await expect(socket, "request\0add\0site\0a.test\0queue_id\0A1\0\0", status("0"))
        }
    }

    @Test func aSocketThatWasTakenIsToldAndTakenBack() async throws {
        try await serving { socket, _ in
            // Closed on exec: a child of another test would keep it open.
            let other = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            let elsewhere = socket.path + ".other"
            #expect(SocketAddress.unix(path: elsewhere).withSystemAddress { bind(other, $0, $1) } == 0)
            listen(other, 8)
            // Only now is it at our place: between bind and listen it would be taken for a stale socket, and replaced.
            #expect(rename(elsewhere, socket.path) == 0)

            try await until { socket.problem?.contains("another process listens") == true }
            close(other)
            try await until { socket.problem == nil }

            try await expect(socket, "request\0add\0site\0a.test\0queue_id\0A1\0\0", status("0"))
        }
    }

    @Test func everybodyMayConnectWhomTheDirectoryLetsThrough() async throws {
        try await serving { socket, _ in
            var status = stat()
            stat(socket.path, &status)
            #expect(status.st_mode & 0o777 == 0o666)
        }
    }

    private func until(at location: SourceLocation = #_sourceLocation, _ isDone: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !isDone() {
            try #require(ContinuousClock.now < deadline, "waited too long", sourceLocation: location)
            try await Task.sleep(for: .milliseconds(2))
        }
    }
}
