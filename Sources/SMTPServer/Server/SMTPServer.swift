// The SMTP server: listeners, the limits that span connections, and an orderly end.

import DispatchSockets

/// Serves SMTP (RFC 5321) on any number of addresses: hands mail to a `MailIntake`, and ETRN to an `ETRNHandler`. What is not there is
/// not offered; a server without an intake answers ETRN only.
///
/// Lives on its loop: `listen` is called there, `stop` from anywhere. Keeps itself alive while connections are open.
///
/// `@unchecked Sendable`: all state is touched on the loop only, which `listen` checks and `stop` goes to.
public final class SMTPServer: @unchecked Sendable {
    private let loop: EventLoop
    private let hostname: String
    private let limits: SMTPLimits
    private let services: SMTPServices
    private let tasks: LoopTasks
    private let tell: @Sendable (SMTPEvent) -> Void

    private var listeners: [Listener] = []
    private var connections: [ObjectIdentifier: Entry] = [:]
    private var connectionsOfClient: [ClientKey: Int] = [:]
    private var isStopping = false
    private var whenEmpty: [() -> Void] = []
    private var stopTimer: LoopTimer?

    private struct Entry {
        var connection: SMTPConnection
        var client: ClientKey
    }

    /// Connections beyond the limit that are taken only to be told so; those beyond wait in the kernel.
    private static let refusalHeadroom = 16
    /// Bytes of replies that a client may leave unread before its commands wait.
    private static let unreadReplies = 32 * 1024
    /// How long a refused connection is kept for its 421 to arrive.
    private static let refusalLinger = Duration.seconds(1)

    /// - Parameters:
    ///   - hostname: what greetings and EHLO answers say; a domain name or an address literal.
    ///   - intake: where mail goes; without one MAIL is refused.
    ///   - etrn: who answers ETRN; without one it is not implemented.
    ///   - events: called on the loop for logs and metrics.
    /// - Precondition: `limits.contentChunk` is 2 at least.
    public init(
        loop: EventLoop, hostname: String, limits: SMTPLimits = SMTPLimits(), intake: (any MailIntake)?, etrn: (any ETRNHandler)? = nil,
        events: @escaping @Sendable (SMTPEvent) -> Void = { _ in }
    ) {
        precondition(limits.contentChunk >= 2, "a chunk must hold a line end")
        self.loop = loop
        self.hostname = hostname
        self.limits = limits
        services = SMTPServices(intake: intake, etrn: etrn)
        tasks = LoopTasks(loop)
        tell = events
    }

    /// Listens at one more address. Only on the loop.
    ///
    /// - Returns: the address with the port that was chosen when `address` had port 0.
    /// - Throws: `SocketError` when the address is in use or not ours, or the server is stopping.
    @discardableResult
    public func listen(at address: SocketAddress) throws(SocketError) -> SocketAddress {
        loop.preconditionCurrent()
        guard !isStopping else { throw .resource("the SMTP server is stopping") }
        let listenerLimits = ListenerLimits(
            maximumConnections: limits.maximumConnections + Self.refusalHeadroom, writeHighWater: Self.unreadReplies,
            writeLowWater: Self.unreadReplies / 4)
        let listener = try loop.listen(at: address, limits: listenerLimits) { [self] connection in take(connection) }
        listeners.append(listener)
        return listener.address
    }

    /// Stops listening, sends a 421 to every session without a message in flight, and lets the others finish theirs.
    ///
    /// What is not done after `limit` is cut off; its message is abandoned unless a commit is under way, which is waited for,
    /// again as long as `limit`. Returns when no connection and no message is left, at the latest after twice `limit`.
    public func stop(within limit: Duration) async {
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            loop.execute { self.beginStop(within: limit) { done.resume() } }
        }
    }

    /// How many connections are open. Only on the loop.
    public var openConnections: Int {
        loop.preconditionCurrent()
        return connections.count
    }

    // MARK: Connections

    private func take(_ connection: Connection) {
        let client = ClientKey(connection.peer.address)
        let ofClient = connectionsOfClient[client, default: 0]
        if isStopping { return refuse(connection, .stopping) }
        guard connections.count < limits.maximumConnections else { return refuse(connection, .tooManyConnections) }
        guard ofClient < limits.maximumConnectionsPerClient else { return refuse(connection, .tooManyConnectionsOfClient) }

        connectionsOfClient[client] = ofClient + 1
        let carrier = SMTPConnection(connection: connection, hostname: hostname, limits: limits, services: services, tasks: tasks, tell: tell) {
            [self] carrier, ending in finished(carrier, ending)
        }
        connections[ObjectIdentifier(carrier)] = Entry(connection: carrier, client: client)
        tell(.connected(open: connections.count))
        carrier.start()
    }

    private func refuse(_ connection: Connection, _ refusal: SMTPRefusal) {
        tell(.refused(refusal))
        connection.handler = RefusedConnection()
        let text = refusal == .stopping ? "Service shutting down" : "Too many connections"
        connection.write(SMTPReply(421, refusal == .stopping ? "4.3.2" : "4.7.0", "\(hostname) \(text), try again later").rendered)
        connection.close(linger: Self.refusalLinger)
    }

    private func finished(_ carrier: SMTPConnection, _ ending: SMTPEnding) {
        guard let entry = connections.removeValue(forKey: ObjectIdentifier(carrier)) else { return }
        let left = connectionsOfClient[entry.client, default: 1] - 1
        connectionsOfClient[entry.client] = left > 0 ? left : nil
        tell(.disconnected(ending, open: connections.count))
        if connections.isEmpty { empty() }
    }

    // MARK: Stopping

    private func beginStop(within limit: Duration, done: @escaping () -> Void) {
        whenEmpty.append(done)
        if !isStopping {
            isStopping = true
            for listener in listeners { listener.close() }
            listeners = []
            for entry in Array(connections.values) { entry.connection.stop() }
            stopTimer = loop.schedule(after: limit) { [self] in
                for entry in Array(connections.values) { entry.connection.abort() }
                stopTimer = loop.schedule(after: limit) { [self] in empty() }
            }
        }
        if connections.isEmpty { empty() }
    }

    /// Tells everybody who waits for the stop.
    private func empty() {
        guard isStopping else { return }
        stopTimer?.cancel()
        stopTimer = nil
        let waiting = whenEmpty
        whenEmpty = []
        for done in waiting { done() }
    }
}

/// A connection that has had its only reply; whatever comes is dropped.
private final class RefusedConnection: ConnectionHandler {
    func connection(_ connection: Connection, received bytes: RawSpan) {}
    func connectionClosed(_ connection: Connection, error: SocketError?) {}
}
