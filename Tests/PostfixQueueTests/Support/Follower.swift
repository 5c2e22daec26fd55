// Follows a queue's events, and waits for some of them.

import DispatchSockets
import FlushCore
import FlushTesting
import Glibc
import Logging
import Testing

@testable import PostfixQueue

struct WallTime: TimeSource {
    var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
    }

    func sleep(for duration: Duration) async { try? await ContinuousClock().sleep(for: max(.zero, duration)) }
}

/// A running engine on a fake Postfix.
struct Engine: Sendable {
    let postfix: FakePostfix
    let queue: PostfixQueue
    let events = Recorder<QueueEvent>()

    /// Runs `body` with an engine that follows its queue; stopped at the end.
    static func run(
        _ postfix: FakePostfix, mailLog: String? = nil, withManager: Bool = true, _ body: (Engine) async throws -> Void
    ) async throws {
        if withManager { try postfix.startManager() }
        let loop = try EventLoop(label: "postfix-test")
        let pool = IOPool(label: "postfix-test.disk", width: 3)
        let queue = PostfixQueue(
            layout: postfix.layout, mailLog: mailLog, loop: loop, pool: pool, time: WallTime(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let engine = Engine(postfix: postfix, queue: queue)
        try await queue.start()
        let follower = Task { for await event in queue.events { engine.events.append(event) } }
        let result: Result<Void, any Error>
        do { result = .success(try await body(engine)) } catch { result = .failure(error) }
        await queue.stop()
        await follower.value
        loop.shutdown()
        try result.get()
    }

    /// Waits, a minute at most, until the events are as wanted.
    func wait(_ what: Comment, at location: SourceLocation = #_sourceLocation, until isDone: ([QueueEvent]) -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !isDone(events.elements) {
            try #require(ContinuousClock.now < deadline, "waited too long for: \(what); got \(events.elements)", sourceLocation: location)
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    func attempt(on id: QueueID, count: Int = 1, at location: SourceLocation = #_sourceLocation) async throws -> DeliveryAttempt {
        try await wait("attempt \(count) on \(id)", at: location) { Self.attempts(on: id, in: $0).count >= count }
        return Self.attempts(on: id, in: events.elements)[count - 1]
    }

    static func attempts(on id: QueueID, in events: [QueueEvent]) -> [DeliveryAttempt] {
        events.compactMap { if case .attempted(let attempt) = $0, attempt.id == id { attempt } else { nil } }
    }

    /// Waits until everything that happened before is told, by an arrival of its own.
    func settle(at location: SourceLocation = #_sourceLocation) async throws {
        let mark = postfix.put(["mark@mark.test"])
        try await wait("the arrival of \(mark)", at: location) {
            $0.contains { if case .queued(let message) = $0 { message.id == mark } else { false } }
        }
    }

    func scanned() async throws -> [QueueID: QueuedMessage] {
        let list = Recorder<QueuedMessage>()
        try await queue.scan { page in for message in page { list.append(message) } }
        return Dictionary(list.elements.map { ($0.id, $0) }) { first, _ in first }
    }
}
