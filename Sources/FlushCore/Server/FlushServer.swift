// The flush core: one actor that answers every front end from memory, and keeps disk and queue work off their way.

import DequeModule

/// Answers `FlushService` in this process.
///
/// Runs on the executor that it is given (the event loop's), so that a front end's call costs no hop. No method that a front end
/// calls for a count, an add or a flush waits for a disk: the queue, the logs and the history are used by tasks of its own.
///
/// A crash leaves the log files at most a second behind and running flushes to be marked `interrupted` at the next start; the
/// index is read from the queue anew.
public actor FlushServer: FlushService, RelayDomainService {
    /// What an operator sets.
    public struct Parameters: Sendable {
        public var probeMessages = 20
        public var probeWait: Duration = .seconds(30)
        public var outcomeLimit: Duration = .seconds(3600)
        public var slowFlushInterval: Duration = .seconds(300)
        public var reconcileInterval: Duration = .seconds(600)
        public var refreshTime: Duration = .seconds(12 * 3600)
        public var purgeTime: Duration = .seconds(7 * 86400)

        public init() {}
    }

    /// What is fixed, and why.
    enum Limits {
        /// Messages moved in one call to the queue: small enough that an add between two batches waits for none of it.
        static let releaseBatch = 100
        /// Batches of one flush that the queue has at once.
        static let releasesAtOnce = 3
        /// After a first scan that failed, the next one follows so soon.
        static let failedScanPause: Duration = .seconds(10)
        /// How long a request waits for the first scan; then it is answered with what is known.
        static let firstScanPatience: Duration = .seconds(20)
        /// More flushes than this at once are answered 429: each holds a task and the IDs it has released.
        static let runningFlushes = 10_000
        /// Ended flushes kept in memory, those that matched nothing included (these are nowhere else).
        static let recentFlushes = 1_000
        /// Ended flushes that wait for a history that cannot be written; beyond them the oldest are lost.
        static let unsavedFlushes = 10_000
        /// Queue events taken between two chances for others to run: a backlog must not hold up the front ends.
        static let eventsPerTurn = 50
        /// Ended flushes kept on disk.
        static let historyFlushes = 100_000
        /// How far the log files and the history may be behind.
        static let writeBehind: Duration = .seconds(1)
        /// Scanned messages taken between two chances for others to run.
        static let scanSlice = 100
        /// Index slots looked at between two chances for others to run.
        static let sweepSlice = 20_000
        /// How often refresh and purge are considered; flush(8) is woken every 1,000 s for them.
        static let maintenanceInterval: Duration = .seconds(1_000)
        /// Lines of a log that may be stale before it is worth rewriting, beyond half of it.
        static let staleLines = 64
    }

    public nonisolated let relayDomainDirectory: RelayDomainDirectory
    nonisolated let executor: any SerialExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let policy: FlushPolicy
    let parameters: Parameters
    let queue: any MailQueue
    let logs: any FlushLogStore
    let history: any FlushHistoryStore
    let relayDomainStore: any RelayDomainStore
    let time: any TimeSource
    /// Told of what went wrong behind the scenes; front ends and stores log, the core does not.
    let report: @Sendable (BackgroundFailure) -> Void

    var index = DeferredIndex()
    var tracker = FlushTracker()
    var waiters: [FlushID: [Waiter]] = [:]
    var nextWaiter = 0
    var hasEndedWaits = false
    /// From the start to the end of the first scan, and who waits for that.
    var isFilling = false
    /// The log files have been read; if that fails, it is tried again with each scan.
    var areLogsLoaded = false
    var fillWaiters: [Int: CheckedContinuation<Void, Never>] = [:]
    var latest: [FlushSelector: FlushID] = [:]
    var lastFlushes: [DomainName: DomainSummary.LastFlush] = [:]
    var recent = RecentFlushes(limit: Limits.recentFlushes)
    /// Running flushes whose counts have changed since the history was told.
    var unsaved: Set<FlushID> = []
    /// Ended flushes that the history does not have yet: `recent` may forget them before it does.
    var unsavedEnded = RecentFlushes(limit: Limits.unsavedFlushes)
    var journal = LogJournal()
    var slowStartedAt: Timestamp?
    var scheduledSlow: FlushID?
    var lastID: FlushID?
    private var isOpen = false
    var isIndexComplete = false
    var isReconciling = false
    var wantsReconcile = false
    var isWritingBehind = false
    var lastReconcile: FlushStatus.Reconcile?
    var counters = Counters()
    /// A change of relay domains is on its way to the store; others wait their turn.
    var isChangingRelayDomains = false
    var relayDomainTurns: Deque<CheckedContinuation<Void, Never>> = []
    private var background: [Task<Void, Never>] = []
    private let startedAt: Timestamp

    public init(
        policy: FlushPolicy, parameters: Parameters = Parameters(), queue: any MailQueue, logs: any FlushLogStore,
        history: any FlushHistoryStore, relayDomains: any RelayDomainStore, directory: RelayDomainDirectory = RelayDomainDirectory(),
        time: any TimeSource, executor: any SerialExecutor, report: @escaping @Sendable (BackgroundFailure) -> Void = { _ in }
    ) {
        self.policy = policy
        self.parameters = parameters
        self.queue = queue
        self.logs = logs
        self.history = history
        relayDomainStore = relayDomains
        relayDomainDirectory = directory
        self.time = time
        self.executor = executor
        self.report = report
        startedAt = time.now
    }

    /// Reads relay domains and history; the engine may need the relay domains before the queue can be followed.
    ///
    /// - Throws: when the stores cannot be read, which is no state to serve in.
    public func open() async throws(StoreError) {
        guard !isOpen else { return }
        let now = time.now
        let relayDomains = try await relayDomainStore.all()
        relayDomainDirectory.change(put: relayDomains)
        _ = try await history.interruptRunning(at: now)
        for (domain, flush) in try await history.lastFlushes() {
            lastFlushes[domain] = .init(id: flush.id, at: flush.requestedAt, state: flush.state)
            lastID = max(lastID ?? flush.id, flush.id)
        }
        for relayDomain in relayDomains { pin(relayDomain.domain, at: now) }
        for domain in policy.fastFlushDomains.literalDomains { index.pin(domain, true, at: now) }
        isOpen = true
    }

    /// Opens the stores if need be, then answers; the index fills behind: from the log files at once, from the queue as the scan goes on.
    /// A flush that is asked for meanwhile waits for that, so that it does not miss what it is asked for.
    public func start() async throws(StoreError) {
        try await open()
        // Stopped meanwhile.
        guard !hasEndedWaits else { return }
        isFilling = true
        background = [
            // On the executor all the way: the stream's own code would take every event over another thread and back.
            Task(executorPreference: executor as? any TaskExecutor) { await self.followQueue() },
            Task {
                await self.fillIndex()
                await self.keepReconciling()
            },
            Task { await self.keepWritingBehind() },
            Task { await self.keepMaintaining() },
        ]
    }

    /// Stops the tasks of its own and writes what is behind. Flushes that run stay in the history as running, and are marked
    /// interrupted at the next start.
    public func stop() async {
        for task in background { task.cancel() }
        background = []
        while isWritingBehind { await time.sleep(for: .milliseconds(10)) }
        await writeBehind()
    }

    /// What keeps the service from doing its work now, in words for an operator; nothing when it is ready.
    public func impediments() async -> [String] {
        let trouble = await queue.trouble()
        var found: [String] = []
        if hasEndedWaits { found.append("the service is stopping") }
        if let failure = lastReconcile?.failure { found.append("the queue cannot be read: \(failure)") }
        if let trouble { found.append(trouble) }
        return found
    }

    public func status() -> FlushStatus {
        FlushStatus(
            startedAt: startedAt, isIndexComplete: isIndexComplete, messages: index.messageCount, bytes: index.bytes,
            oldestArrival: index.oldestArrival(), domains: index.domainCount, waitingDomains: index.waitingDomainCount,
            relayDomains: relayDomainDirectory.count, flushesRunning: tracker.runningCount, flushesRequested: counters.flushesRequested,
            messagesReleased: counters.released, delivered: counters.delivered, deferredAgain: counters.deferredAgain,
            bounced: counters.bounced, departed: counters.departed, adds: counters.adds, lastReconcile: lastReconcile)
    }

    /// Whether this is one of the provisioned relay domains, by exactly this name.
    func isProvisioned(_ domain: DomainName) -> Bool { relayDomainDirectory[domain] != nil }

    func pin(_ domain: DomainName, at now: Timestamp) {
        guard policy.fastFlushDomains.match(domain, store: isProvisioned) == .yes else { return }
        index.pin(domain, true, at: now)
    }
}

/// What went wrong where no caller waits for it.
public enum BackgroundFailure: Sendable, Equatable {
    /// The log files or the history could not be written; it is tried again.
    case writeBehind(String)
    /// The queue could not be scanned; it is tried again.
    case reconcile(String)
    /// The log files could not be read at start; the scan will tell all the same.
    case loadLogs(String)
    case refresh(String)
}

/// What has been counted since start.
struct Counters {
    var flushesRequested = 0
    var adds = 0
    var released = 0
    var delivered = 0
    var deferredAgain = 0
    var bounced = 0
    var departed = 0
}
