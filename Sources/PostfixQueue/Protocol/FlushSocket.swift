// The flush service's socket below the queue directory: what every Postfix program talks to when `flush_service_name` names it.

import DispatchSockets
import FlushCore
import Glibc
import Logging
import Synchronization

/// Listens at `public/NAME` and answers as flush(8) does, for any `FlushService`.
///
/// Clients are delivery agents that do nothing else while they wait: an `add` is answered from memory, and a client that says nothing
/// is hung up on. The socket's file is looked at once in `Limits.fileCheck`: removed, it is made again; taken over by somebody who
/// answers, `problem` says so until we have it back.
///
/// The process must run as Postfix's `mail_owner` (or root), who alone may write to `public`.
// @unchecked: constants are Sendable; all else is touched on the loop only, but for `shared`, which has a lock.
public final class FlushSocket: @unchecked Sendable {
    public struct Limits: Sendable {
        /// A client that has not sent its request by then is hung up on; Postfix's send theirs at once.
        public var idleTimeout: Duration = .seconds(10)
        /// A request that has no answer by then is answered as failed: nobody shall wait for us as long as `ipc_timeout`.
        public var answerTimeout: Duration = .seconds(5)
        /// More than `default_process_limit` of a few services; further clients wait in the kernel's backlog.
        public var maximumConnections = 4_096
        public var backlog: CInt = 1_024
        public var fileCheck: Duration = .seconds(1)
        /// How often a socket in our place is asked whether somebody is behind it: each time somebody has to answer.
        public var takeBack: Duration = .seconds(10)

        public init() {}
    }

    /// What was asked since the start.
    public struct Counters: Sendable, Equatable {
        public var adds = 0
        public var sites = 0
        public var files = 0
        public var malformed = 0
        /// How often the socket had to be made again.
        public var rebinds = 0
    }

    enum Maintenance { case refresh, purge }

    public let path: String
    let loop: EventLoop
    let limits: Limits
    let tasks: LoopTasks
    private let service: any FlushService
    private let logger: Logger
    private let shared = Mutex((counters: Counters(), problem: String?.some("the socket is not open yet")))
    private var listener: Listener?
    /// Whose socket is in our place, and when we shall ask again whether it is alive.
    private var intruder: (device: dev_t, inode: ino_t)?
    private var nextAttempt = ContinuousClock.now
    private var file: (device: dev_t, inode: ino_t)?
    private var timer: LoopTimer?
    private var running: Set<Maintenance> = []
    private var hasNotedExtraAttributes = false

    /// - Parameter path: `queue_directory/public/` and the value of `flush_service_name`.
    public init(
        path: String, service: any FlushService, loop: EventLoop, limits: Limits = Limits(), logger: Logger
    ) {
        self.path = path
        self.service = service
        self.loop = loop
        self.limits = limits
        self.logger = logger
        tasks = LoopTasks(loop)
    }

    public var counters: Counters { shared.withLock { $0.counters } }

    /// Why Postfix does not reach us at this moment; nil when it does.
    public var problem: String? { shared.withLock { $0.problem } }

    /// Begins to listen, and lives until `stop`. Only on the loop.
    public func start() throws(SocketError) {
        loop.preconditionCurrent()
        try open()
        watchFile()
    }

    /// Stops listening; who has sent a request gets its answer. From anywhere.
    public func stop() async {
        await loop.run { [self] in
            timer?.cancel()
            timer = nil
            listener?.close()
            listener = nil
            shared.withLock { $0.problem = "the socket is closed" }
        }
    }

    // MARK: The socket's file

    private func open() throws(SocketError) {
        var bounds = ListenerLimits()
        bounds.maximumConnections = limits.maximumConnections
        bounds.backlog = limits.backlog
        // As Postfix has it: the directory's mode says who may come here.
        bounds.socketMode = 0o666
        let listener = try loop.listen(at: .unix(path: path), limits: bounds) { [self] connection in
            connection.handler = FlushConversation(connection, socket: self)
        }
        self.listener = listener
        file = Self.identity(of: path)
        shared.withLock { $0.problem = nil }
    }

    private func watchFile() {
        timer = loop.schedule(after: limits.fileCheck) { [weak self] in
            self?.checkFile()
            self?.watchFile()
        }
    }

    private func checkFile() {
        let found = Self.identity(of: path)
        if let listener, !listener.isClosed, let found, let file, found == file { return }
        // Whoever has connected to the old socket is answered; nobody can find it any more.
        listener?.close()
        listener = nil
        if let found, let intruder, found == intruder, loop.now < nextAttempt { return }
        intruder = found
        nextAttempt = loop.now + limits.takeBack
        do throws(SocketError) {
            try open()
            count(\.rebinds)
            logger.warning("the flush socket was gone and has been made again", metadata: ["path": "\(path)"])
        } catch {
            let text = "\(error)"
            let isNews = shared.withLock { shared in
                defer { shared.problem = text }
                return shared.problem != text
            }
            if isNews { logger.error("Postfix does not reach us: the flush socket is not ours", metadata: ["failure": "\(text)"]) }
        }
    }

    private static func identity(of path: String) -> (device: dev_t, inode: ino_t)? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return (status.st_dev, status.st_ino)
    }

    // MARK: Requests

    func count(_ counter: WritableKeyPath<Counters, Int>) {
        shared.withLock { $0.counters[keyPath: counter] += 1 }
    }

    func noteExtraAttributes() {
        guard !hasNotedExtraAttributes else { return }
        hasNotedExtraAttributes = true
        logger.warning("a client of the flush socket sends attributes that we do not know; a newer Postfix?")
    }

    nonisolated(nonsending) func answer(_ request: FlushProtocolRequest, requestedBy: String) async -> FlushProtocolReply {
        switch request {
        case .add(let site, let queueID):
            count(\.adds)
            guard let id = QueueID(queueID) else { return .bad }
            // An address literal is no domain: nobody can ask for its mail, and Postfix is silent on this answer.
            guard let domain = DomainName(site) else { return .denied }
            do throws(FlushError) { try await service.add(id, to: domain) } catch { return FlushProtocolReply(error) }
            return .ok
        case .sendSite(let site):
            count(\.sites)
            guard site.utf8.count <= QueueID.maximumLength else { return .bad }
            guard let domain = DomainName(site) else { return .denied }
            return await flush(.domain(domain, subdomains: false), requestedBy)
        case .sendFile(let queueID):
            count(\.files)
            guard let id = QueueID(queueID) else { return .bad }
            return await flush(.message(id), requestedBy)
        case .refresh, .purge: return .ok
        }
    }

    nonisolated(nonsending) private func flush(_ selector: FlushSelector, _ requestedBy: String) async -> FlushProtocolReply {
        do throws(FlushError) {
            _ = try await service.flush(FlushRequest(selector, via: .postfix, requestedBy: requestedBy))
            return .ok
        } catch {
            if case .queueUnavailable(let reason) = error { logger.warning("a flush was refused", metadata: ["reason": "\(reason)"]) }
            return FlushProtocolReply(error)
        }
    }

    /// Refreshes or purges, unless that is being done already. Only on the loop.
    func maintain(_ kind: Maintenance) {
        guard running.insert(kind).inserted else { return }
        Task.immediate(executorPreference: loop) {
            do throws(FlushError) {
                switch kind {
                case .refresh: _ = try await service.refresh()
                case .purge: _ = try await service.purge()
                }
            } catch {
                logger.warning("maintenance was refused", metadata: ["failure": "\(error)"])
            }
            loop.execute { self.running.remove(kind) }
        }
    }
}
