// An HTTP/1.1 server on an event loop: its listeners and connections, and how it ends.
import DispatchSockets

/// Parses requests, asks `respond` for answers, keeps the limits. Any number of listeners. All but `stop` only on its loop.
// @unchecked: the constants are Sendable; everything else is touched on the loop only, `stop` goes there first.
public final class HTTPServer: @unchecked Sendable {
    /// Answers a request, on the loop.
    public typealias Responder = @Sendable (consuming Request) -> Answer<Response>

    public let loop: EventLoop
    public let limits: HTTPLimits
    let hostIsAllowed: @Sendable (String, Peer) -> Bool
    let respond: Responder
    let tasks: LoopTasks
    /// Shared by all connections: an answer is made and written in one go.
    var writer = ResponseWriter()
    private(set) var isStopping = false
    private var listeners: [Listener] = []
    private var connections: [HTTPConnection] = []
    /// Who waits for the end, each with the timer that cuts the rest off.
    private var waiters: [(continuation: CheckedContinuation<Void, Never>, timer: LoopTimer)] = []

    /// - Parameters:
    ///   - hostIsAllowed: whether the server answers for this host; otherwise 421. The name is in lower case without a port, an
    ///     IPv6 address in brackets; it is empty when an HTTP/1.0 client names none.
    ///   - respond: called on the loop, one request at a time for each connection; a `Router`'s, usually. It must not block. An
    ///     answer that has to be waited for is made to its end even when the client is gone.
    public init(
        loop: EventLoop, limits: HTTPLimits = HTTPLimits(), hostIsAllowed: @escaping @Sendable (String, Peer) -> Bool,
        respond: @escaping Responder
    ) {
        precondition(limits.maximumHead <= 1 << 24, "positions in a head have 32 bits, and its copies must be small")
        self.loop = loop
        self.limits = limits
        self.hostIsAllowed = hostIsAllowed
        self.respond = respond
        tasks = LoopTasks(loop)
    }

    /// Serves this address too; from then on the server lives until `stop`. Only on the loop.
    ///
    /// - Returns: the listener, whose address has the real port.
    public func listen(at address: SocketAddress, socketMode: UInt32 = 0o660) throws(SocketError) -> Listener {
        loop.preconditionCurrent()
        var bounds = ListenerLimits()
        bounds.maximumConnections = limits.maximumConnections
        bounds.socketMode = socketMode
        bounds.writeHighWater = limits.writeHighWater
        bounds.writeLowWater = limits.writeHighWater / 4
        // Strong, not weak: an object that is referred to weakly pays for it at every retain, and there are many a request.
        let listener = try loop.listen(at: address, limits: bounds) { [self] connection in
            guard !isStopping else { return connection.abort() }
            add(connection)
        }
        listeners.append(listener)
        return listener
    }

    /// Open connections, idle ones included. Only on the loop.
    public var connectionCount: Int {
        loop.preconditionCurrent()
        return connections.count
    }

    /// Ends the server: takes no connections, closes idle ones, lets requests that have begun be answered, and leaves.
    ///
    /// Returns when the last connection is gone. What is not done `within` the limit is cut off. May be called from anywhere.
    public func stop(within limit: Duration) async {
        await withCheckedContinuation { continuation in
            loop.execute { self.beginStop(within: limit, continuation) }
        }
    }

    private func beginStop(within limit: Duration, _ continuation: CheckedContinuation<Void, Never>) {
        isStopping = true
        for listener in listeners { listener.close() }
        listeners = []
        for connection in connections { connection.leave() }
        guard !connections.isEmpty else { return continuation.resume() }
        let timer = loop.schedule(after: limit) { [self] in
            for connection in connections { connection.abort() }
        }
        waiters.append((continuation, timer))
    }

    // MARK: Connections

    private func add(_ connection: Connection) {
        let client = HTTPConnection(connection, server: self)
        client.index = connections.count
        connections.append(client)
        connection.handler = client
    }

    func remove(_ client: HTTPConnection) {
        let last = connections.removeLast()
        if last !== client {
            last.index = client.index
            connections[client.index] = last
        }
        guard isStopping, connections.isEmpty else { return }
        let finished = waiters
        waiters = []
        for waiter in finished {
            waiter.timer.cancel()
            waiter.continuation.resume()
        }
    }
}
