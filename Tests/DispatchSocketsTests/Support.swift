// Clients and handlers for the tests: plain blocking sockets on one side, recorded events on the other.

import Dispatch
import DispatchSockets
import Glibc
import Synchronization
import Testing

/// Everything here waits for events; what does not come fails the test after a while.
@Suite(.timeLimit(.minutes(5))) struct SocketTests {}

/// What a handler was told.
enum Event: Equatable, Sendable {
    case opened
    case received([UInt8])
    case end
    case drained
    case timedOut
    case closed(SocketError?)
}

/// A handler that hands everything to a closure.
final class ClosureHandler: ConnectionHandler {
    let body: (Connection, Event) -> Void

    init(_ body: @escaping (Connection, Event) -> Void) { self.body = body }

    func connection(_ connection: Connection, received bytes: RawSpan) {
        body(connection, .received(bytes.withUnsafeBytes { Array($0) }))
    }
    func connectionReachedEnd(_ connection: Connection) { body(connection, .end) }
    func connectionDrained(_ connection: Connection) { body(connection, .drained) }
    func connectionTimedOut(_ connection: Connection) { body(connection, .timedOut) }
    func connectionClosed(_ connection: Connection, error: SocketError?) { body(connection, .closed(error)) }
}

/// Carries what lives on the loop through a test, which touches it only there.
struct OnLoop<Value>: @unchecked Sendable {
    let value: Value
}

/// A loop with a listener; everything its connections are told goes to `react` and then into `events`.
final class TestServer: Sendable {
    let loop: EventLoop
    let address: SocketAddress
    let listener: OnLoop<Listener>
    let events: Recorder<Event>

    init(
        at address: SocketAddress = .ipv4(0x7f00_0001, port: 0), limits: ListenerLimits = ListenerLimits(),
        loop: EventLoop? = nil, react: @escaping @Sendable (Connection, Event) -> Void
    ) throws {
        let loop = try loop ?? EventLoop(label: "test")
        let events = Recorder<Event>()
        let listener = try loop.sync { () throws(SocketError) in
            OnLoop(
                value: try loop.listen(at: address, limits: limits) { connection in
                    connection.handler = ClosureHandler { connection, event in
                        react(connection, event)
                        events.add(event)
                    }
                    react(connection, .opened)
                    events.add(.opened)
                })
        }
        self.loop = loop
        self.listener = listener
        self.address = listener.value.address
        self.events = events
    }

    deinit { loop.shutdown() }

    func connect() throws -> Client { try Client(to: address) }

    /// Keeps the loop busy until `body` is done, so that what `body` causes comes in one batch.
    func whileBlocked<Result>(_ body: () throws -> Result) rethrows -> Result {
        let entered = DispatchSemaphore(value: 0)
        let release = DispatchSemaphore(value: 0)
        loop.execute {
            entered.signal()
            release.wait()
        }
        entered.wait()
        defer { release.signal() }
        return try body()
    }
}

/// Collects values from the loop; a test waits for the one that it wants.
final class Recorder<Value: Sendable>: Sendable {
    private struct State {
        var values: [Value] = []
        var waiters: [(wanted: @Sendable ([Value]) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    var values: [Value] { state.withLock { $0.values } }

    func add(_ value: Value) {
        let ready = state.withLock { state in
            state.values.append(value)
            let ready = state.waiters.filter { $0.wanted(state.values) }
            if !ready.isEmpty { state.waiters.removeAll { $0.wanted(state.values) } }
            return ready
        }
        for waiter in ready { waiter.continuation.resume() }
    }

    /// Returns when the values so far are as wanted.
    func wait(until wanted: @escaping @Sendable ([Value]) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                if wanted(state.values) { return true }
                state.waiters.append((wanted, continuation))
                return false
            }
            if isReady { continuation.resume() }
        }
    }

    func wait(forCount count: Int) async { await wait { $0.count >= count } }
}

extension Recorder<Event> {
    var receivedBytes: [UInt8] {
        values.flatMap { if case .received(let bytes) = $0 { bytes } else { [UInt8]() } }
    }

    func waitForClose(count: Int = 1) async {
        await wait { $0.filter { if case .closed = $0 { true } else { false } }.count >= count }
    }
}

struct ClientError: Error { let operation: String, code: CInt }

/// A blocking client; nothing waits longer than thirty seconds.
final class Client: Sendable {
    let descriptor: CInt

    init(to address: SocketAddress, receiveBuffer: CInt? = nil) throws {
        let family =
            switch address {
            case .ipv4: AF_INET;
            case .ipv6: AF_INET6;
            case .unix: AF_UNIX
            }
        descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ClientError(operation: "socket", code: errno) }
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        if var size = receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size)) }
        let code = address.withSystemAddress { Glibc.connect(descriptor, $0, $1) == 0 ? 0 : errno }
        // deinit closes the descriptor, here too: everything is initialized. Closed twice, it would by then be somebody else's.
        guard code == 0 else { throw ClientError(operation: "connect", code: code) }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, CInt(MSG_NOSIGNAL)) }
            guard count > 0 else { throw ClientError(operation: "send", code: errno) }
            sent += count
        }
    }

    /// What one recv(2) gives; empty at the end.
    func receiveOnce(_ most: Int = 65536) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: most)
        let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        guard count >= 0 else { throw ClientError(operation: "recv", code: errno) }
        return Array(buffer[..<count])
    }

    func receive(count: Int) throws -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count {
            let more = try receiveOnce(min(65536, count - all.count))
            guard !more.isEmpty else { throw ClientError(operation: "early end", code: 0) }
            all += more
        }
        return all
    }

    func receiveText(count: Int) throws -> String { String(decoding: try receive(count: count), as: UTF8.self) }

    func receiveToEnd() throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let more = try receiveOnce()
            if more.isEmpty { return all }
            all += more
        }
    }

    func finishSending() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// Makes the close a reset.
    func resetOnClose() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
    }

    private let isClosed = Mutex(false)

    func close() {
        let first = isClosed.withLock { closed in
            defer { closed = true }
            return !closed
        }
        if first { Glibc.close(descriptor) }
    }

    deinit { close() }
}

/// A directory for one test, removed with it; its path is short enough for UNIX sockets.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/sockets-XXXXXX".utf8CString)
        guard template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else {
            throw ClientError(operation: "mkdtemp", code: errno)
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        if let stream = opendir(path) {
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { unlink(path + "/" + name) }
            }
            closedir(stream)
        }
        rmdir(path)
    }
}
