// One client: its bytes to the parser, its requests to the handler one after the other, the answers back in order.
import DispatchSockets
import HTTPTypes

/// Idle, it holds no buffers.
// @unchecked: only its loop touches it. The task that waits for an answer captures it, and stays on the loop.
final class HTTPConnection: ConnectionHandler, @unchecked Sendable {
    private enum Phase: Equatable {
        /// Between requests.
        case idle
        case head, body
        /// A handler runs; further requests wait.
        case handling
        /// The client does not read; further requests wait.
        case writing(backlog: Int)
        /// The last answer is out.
        case closing
    }

    private let server: HTTPServer
    private var connection: Connection?
    private var parser = RequestParser()
    /// Bytes behind the request that is being answered, the first `pendingOffset` of them used.
    private var pending: [UInt8] = []
    private var pendingOffset = 0
    private var phase = Phase.idle
    private var framing = ResponseWriter.Framing()
    private var isPaused = false
    private var reachedEnd = false
    /// Where the server keeps it.
    var index = 0

    init(_ connection: Connection, server: HTTPServer) {
        self.connection = connection
        self.server = server
        connection.setDeadline(after: server.limits.idleTimeout)
    }

    private var isBlocked: Bool {
        switch phase {
        case .idle, .head, .body: false
        case .handling, .writing, .closing: true
        }
    }

    // MARK: What the connection tells

    func connection(_ connection: Connection, received bytes: RawSpan) {
        guard phase != .closing else { return }
        let work = bytes.withUnsafeBytes { bytes in
            var used = 0
            let work = pending.isEmpty ? parse(bytes, from: &used) : nil
            keep(UnsafeRawBufferPointer(rebasing: bytes[used...]))
            return work
        }
        goOn(with: work)
    }

    func connectionReachedEnd(_ connection: Connection) {
        reachedEnd = true
        afterParsing()
    }

    func connectionDrained(_ connection: Connection) {
        guard case .writing = phase else { return }
        phase = .idle
        goOn(with: parsePending())
    }

    func connectionTimedOut(_ connection: Connection) {
        switch phase {
        case .idle:
            if connection.backlog > 0 { connection.abort() } else { close() }
        case .head:
            refuse(RequestRefusal(.requestTimeout, "The request's fields did not arrive in time."))
        case .body:
            refuse(RequestRefusal(.requestTimeout, "The request's body did not arrive in time."))
        case .writing(let before):
            let backlog = connection.backlog
            guard before - backlog >= server.limits.minimumWriteProgress else { return connection.abort() }
            phase = .writing(backlog: backlog)
            setDeadline(server.limits.writeTimeout)
        case .handling, .closing: break
        }
    }

    func connectionClosed(_ connection: Connection, error: SocketError?) {
        phase = .closing
        self.connection = nil
        parser = RequestParser()
        pending = []
        pendingOffset = 0
        server.remove(self)
    }

    // MARK: What the server tells

    /// Closes if nothing of a request is here; otherwise the next answer is the last.
    func leave() {
        guard phase == .idle, parser.isIdle, pending.isEmpty, let connection else { return }
        phase = .closing
        // Nothing was received that an answer is owed for, so nothing can be lost by not waiting.
        connection.close(linger: connection.backlog > 0 ? server.limits.linger : .zero)
    }

    func abort() { connection?.abort() }

    // MARK: Requests

    private typealias Work = Answer<Response>.Work

    /// Parses and answers until the bytes are used up, or there is an answer to wait for before the next request is looked for.
    private func parse(_ bytes: UnsafeRawBufferPointer, from position: inout Int) -> Work? {
        while !isBlocked {
            switch parser.advance(over: bytes, from: &position, limits: server.limits) {
            case .more: return nil
            case .continueExpected(let head): meetExpectation(head)
            case .request(let head, let body):
                if let work = answer(head, body, moreFollows: position < bytes.count) { return work }
            case .refused(let refusal): refuse(refusal)
            }
        }
        if phase == .closing { position = bytes.count }
        return nil
    }

    private func meetExpectation(_ head: RequestHead) {
        guard let connection else { return }
        guard isAllowed(head, connection) else { return refuse(Self.misdirected) }
        connection.write(Self.continueLine)
    }

    private static let continueLine = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
    private static let misdirected = RequestRefusal(
        .misdirectedRequest, "This server does not answer for the host that the request names.")

    private func isAllowed(_ head: RequestHead, _ connection: Connection) -> Bool {
        server.hostIsAllowed(head.hostText, connection.peer)
    }

    /// Answers the request, or returns what has to be waited for.
    private func answer(_ head: consuming RequestHead, _ body: consuming [UInt8], moreFollows: Bool) -> Work? {
        guard let connection else { return nil }
        framing = ResponseWriter.Framing(
            isHead: head.method == .head, isVersion11: head.isVersion11, keepsAlive: head.keepsAlive)
        phase = .handling
        guard isAllowed(head, connection) else {
            finish(Problem(status: Self.misdirected.status, detail: Self.misdirected.detail).response, moreFollows: moreFollows)
            return nil
        }
        switch server.respond(Request(head, body: body, peer: connection.peer)) {
        case .now(let response):
            finish(response, moreFollows: moreFollows)
            return nil
        case .later(let work): return work
        }
    }

    /// Waits for an answer, if there is one to wait for, and goes on with the requests behind it.
    private func goOn(with work: Work?) {
        if let work {
            server.tasks.begin { await self.carryOut(work) }
            // A handler bounds its own waits.
            if phase == .handling { connection?.deadline = nil }
        }
        afterParsing()
    }

    /// A loop, not a task for each: a thousand pipelined requests must not nest.
    private func carryOut(_ first: @escaping Work) async {
        var next: Work? = first
        while let work = next {
            let response = await work()
            finish(response, moreFollows: !pending.isEmpty)
            next = parsePending()
        }
        afterParsing()
    }

    /// Sends a handler's answer.
    ///
    /// - Parameter moreFollows: bytes stand behind the request.
    private func finish(_ response: Response, moreFollows: Bool) {
        // The client may be gone.
        guard phase == .handling, connection != nil else { return }
        let isLast = reachedEnd && !moreFollows
        framing.keepsAlive = framing.keepsAlive && !server.isStopping && !isLast
        let hasRoom = send(response)
        guard framing.keepsAlive else { return close() }
        phase = .idle
        if !hasRoom, let connection {
            phase = .writing(backlog: connection.backlog)
            setDeadline(server.limits.writeTimeout)
        }
    }

    /// The bytes are no request: says so, and ends, because nobody knows where the next one would begin.
    private func refuse(_ refusal: RequestRefusal) {
        framing = ResponseWriter.Framing(keepsAlive: false)
        _ = send(Problem(status: refusal.status, detail: refusal.detail).response)
        close()
    }

    private func send(_ response: Response) -> Bool {
        guard let connection else { return false }
        let rest = server.writer.encode(response, framing)
        let hasRoom = connection.write(server.writer.bytes)
        guard let rest else { return hasRoom }
        return connection.write(rest)
    }

    private func close() {
        guard let connection, phase != .closing else { return }
        phase = .closing
        pending = []
        pendingOffset = 0
        connection.close(linger: server.limits.linger)
    }

    // MARK: Waiting bytes

    private func keep(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty, phase != .closing else { return }
        if pendingOffset > pending.count / 2 {
            pending.removeFirst(pendingOffset)
            pendingOffset = 0
        }
        pending.append(contentsOf: bytes)
    }

    /// Goes on with the bytes that had to wait.
    private func parsePending() -> Work? {
        guard !isBlocked, !pending.isEmpty else { return nil }
        let waiting = pending
        var position = pendingOffset
        let work = waiting.withUnsafeBytes { parse($0, from: &position) }
        pendingOffset = position
        if pendingOffset >= pending.count {
            pending = []
            pendingOffset = 0
        }
        return work
    }

    /// Sets what follows from the state: the wait that is bounded now, reading or not, leaving.
    private func afterParsing() {
        guard phase != .closing, let connection else { return }
        let mustPause = isBlocked && pending.count - pendingOffset > server.limits.maximumPipelinedBytes
        if mustPause != isPaused {
            isPaused = mustPause
            if mustPause { connection.pauseReading() } else { connection.resumeReading() }
        }
        guard !isBlocked else { return }
        if reachedEnd { return leaveAtEnd() }
        if parser.isInBody {
            if phase != .body { setDeadline(server.limits.bodyTimeout) }
            phase = .body
        } else if !parser.isIdle {
            if phase != .head { setDeadline(server.limits.headerTimeout) }
            phase = .head
        } else if server.isStopping {
            leave()
        } else {
            phase = .idle
            setDeadline(server.limits.idleTimeout)
        }
    }

    private func leaveAtEnd() {
        if parser.isIdle { close() } else { refuse(.badRequest("The request ended before it was complete.")) }
    }

    private func setDeadline(_ wait: Duration) {
        connection?.setDeadline(after: wait)
    }
}
