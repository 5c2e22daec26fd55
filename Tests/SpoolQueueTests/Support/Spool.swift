// An engine in a directory of its own, with everything around it faked but the disk.

import DiskPort
import DispatchSockets
import FlushCore
import FlushTesting
import Glibc
import Logging
import SMTPServer
import Synchronization
import Testing

@testable import SpoolQueue

/// A temporary directory that is gone with its last reference.
final class TemporaryFolder: Sendable {
    let path: String

    init() {
        var template = Array("\(environmentFolder())/spooltest-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { buffer in
            guard let made = mkdtemp(buffer.baseAddress!) else { fatalError("no temporary directory") }
            return String(cString: made)
        }
    }

    deinit { removeTree(path) }
}

private func environmentFolder() -> String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

func removeTree(_ path: String) {
    for name in names(in: path) {
        let child = "\(path)/\(name)"
        var info = stat()
        if lstat(child, &info) == 0, info.st_mode & S_IFMT == S_IFDIR { removeTree(child) } else { unlink(child) }
    }
    rmdir(path)
}

func names(in path: String) -> [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var result: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        if name != ".", name != ".." { result.append(name) }
    }
    return result.sorted()
}

func bytes(of path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return [] }
    let handle = SpoolHandle(SystemFile(descriptor: descriptor))
    return (try? handle.read(at: 0, count: handle.status().size)) ?? []
}

func write(_ bytes: [UInt8], to path: String) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    try? SpoolHandle(SystemFile(descriptor: descriptor)).write(bytes, at: 0)
}

/// Events in the order in which they came.
final class EventLog: Sendable {
    private struct State {
        var events: [QueueEvent] = []
        var watchers: [(condition: @Sendable ([QueueEvent]) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())

    var all: [QueueEvent] { state.withLock { $0.events } }
    var attempts: [DeliveryAttempt] { all.compactMap { if case .attempted(let attempt) = $0 { attempt } else { nil } } }

    func add(_ event: QueueEvent) {
        let ready = state.withLock { state in
            state.events.append(event)
            let events = state.events
            let ready = state.watchers.filter { $0.condition(events) }
            state.watchers.removeAll { $0.condition(events) }
            return ready
        }
        for watcher in ready { watcher.continuation.resume() }
    }

    /// Returns when the events so far satisfy the condition. The test's time limit is its bound.
    func wait(_ condition: @escaping @Sendable ([QueueEvent]) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                if condition(state.events) { return true }
                state.watchers.append((condition, continuation))
                return false
            }
            if isReady { continuation.resume() }
        }
    }

    func waitForAttempts(_ count: Int) async {
        await wait { events in events.count { if case .attempted = $0 { true } else { false } } >= count }
    }
}

struct Spool: Sendable {
    let queue: SpoolQueue
    let sites: FakeSites
    let routes: FakeRoutes
    let time: ManualTime
    let events: EventLog
    let folder: TemporaryFolder
    let start: SpoolStart
    let loop: EventLoop

    /// Opens a spool: a new one, or the one in `folder` again. `events` stays empty when the test follows the queue itself; what waits
    /// is left to the first scan when it is not read here.
    static func open(
        in folder: TemporaryFolder = TemporaryFolder(), at path: String? = nil, routes: FakeRoutes? = nil, sites: FakeSites = FakeSites(),
        time: ManualTime = ManualTime(), fault: (@Sendable (DiskOperation) -> CInt?)? = nil,
        eventLimit: Int = EventBuffer.maximumEvents, isFollowed: Bool = true, isRead: Bool = true,
        deliver: SpoolQueue.Deliver? = nil,
        parameters change: (inout SpoolParameters) -> Void = { _ in }
    ) async throws -> Spool {
        let routes =
            routes
            ?? FakeRoutes([
                "customer.example": .etrnOnly("mail.customer.example"), "other.example": .etrnOnly("mail.other.example"),
                "normal.example": .normal("mail.normal.example"),
            ])
        var parameters = SpoolParameters(myhostname: "relay.example")
        change(&parameters)
        let loop = try EventLoop(label: "spool-test")
        let directory = try SpoolDirectory(path: path ?? "\(folder.path)/spool", fault: fault)
        let queue = SpoolQueue(
            directory: directory, parameters: parameters, routes: routes, executor: loop, pool: IOPool(label: "spool-test", width: 24), time: time,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, eventLimit: eventLimit,
            deliver: deliver ?? { await sites.deliver($0) })
        time.settles { [weak queue, unowned time] in
            let end = ContinuousClock.now + .seconds(30)
            while let queue, ContinuousClock.now < end {
                if await queue.isAtRest(time, held: deliver == nil ? sites.held : .max) { return }
                try? await Task.sleep(for: .microseconds(200))
            }
        }
        let events = EventLog()
        if isFollowed {
            let stream = queue.events
            Task { for await event in stream { events.add(event) } }
        }
        let start: SpoolStart
        if isRead {
            start = try await queue.start()
        } else {
            try await queue.begin()
            start = await queue.found
        }
        return Spool(queue: queue, sites: sites, routes: routes, time: time, events: events, folder: folder, start: start, loop: loop)
    }

    /// Stops the engine and opens the same directory again, with the same world around it.
    func reopened(isRead: Bool = true, parameters change: (inout SpoolParameters) -> Void = { _ in }) async throws -> Spool {
        await stop()
        return try await Spool.open(in: folder, routes: routes, sites: sites, time: time, isRead: isRead, parameters: change)
    }

    func stop() async { await queue.stop(within: .zero) }

    // MARK: Sending

    static let peer = Peer(address: .ipv4(0xc000_0201, port: 4_711))

    func envelope(from sender: String = "alice@origin.example", to recipients: [String], size: Int? = nil) -> SMTPEnvelope {
        SMTPEnvelope(
            sender: SMTPPath(sender)!, declaredSize: size, recipients: recipients.map { SMTPPath($0)! }, peer: Self.peer, helo: "client.example")
    }

    static let content = Array("Subject: hello\r\n\r\nA line.\r\n".utf8)

    /// Sends a message through the intake, recipients unchecked.
    @discardableResult
    func send(from sender: String = "alice@origin.example", to recipients: [String], _ content: [UInt8] = Spool.content) async throws -> QueueID {
        let writer = try await queue.intake.begin(envelope(from: sender, to: recipients))
        for start in stride(from: 0, to: content.count, by: 65_536) {
            do { try await writer.append(Array(content[start..<min(start + 65_536, content.count)])) } catch {
                await writer.abandon()
                throw error
            }
        }
        let reply = try await writer.commit()
        return QueueID(reply.lines[0].split(separator: " ").last!)!
    }

    func release(_ ids: [QueueID], _ selector: FlushSelector = .everything, unthrottle: Bool = false) async throws -> [ReleaseResult] {
        try await queue.release(ids, by: nil, for: selector, unthrottle: unthrottle)
    }

    func scanned() async throws -> [QueuedMessage] {
        let pages = Mutex<[QueuedMessage]>([])
        try await queue.scan { page in pages.withLock { $0 += page } }
        return pages.withLock { $0 }
    }

    func files(_ name: String) -> [String] { names(in: "\(folder.path)/spool/\(name)") }
    func path(_ name: String) -> String { "\(folder.path)/spool/\(name)" }
}

extension SpoolQueue {
    /// Whether only time, or a site that keeps its deliveries waiting, can make the engine do something: what it does at a time is done, and
    /// it sleeps until the next.
    fileprivate func isAtRest(_ time: ManualTime, held: Int) -> Bool {
        phase != .running || (alarm == nil || time.sleepers > 0) && transmissions.count <= held
    }
}

extension FlushSelector {
    static func site(_ name: String, subdomains: Bool = false) -> FlushSelector { .domain(DomainName(name)!, subdomains: subdomains) }
}
