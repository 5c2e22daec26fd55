// The Postfix engine: a real Postfix's queue as the core sees it.

import DispatchSockets
import FlushCore
import Logging
import Synchronization

/// The queue of a Postfix on this machine.
///
/// Postfix's files are the truth and nothing else is kept, but for the releases whose outcome is still to come. Events come from a watch
/// on the directories; after each, the message is looked at on disk, so that what is told is what is there. All disk work runs on
/// the I/O pool. The process must run as Postfix's `mail_owner` (or root).
///
/// A crash loses nothing: a released message is Postfix's, and tried whether we live or not.
public actor PostfixQueue: MailQueue {
    /// Messages in a page of `scan`, and IDs in a call of `describe`.
    public static let pageSize = 1_000

    /// What is fixed, and why.
    enum Limits {
        /// Moves of one message come in bursts; what comes within this time is looked at once.
        static let settling: Duration = .milliseconds(10)
        /// While messages are released, news wait for so long: following them costs as much time as moving them.
        static let releaseGoesFirst: Duration = .milliseconds(250)
        /// So many news at once, and more are waited for before the next are taken: each taking has costs of its own, which deliveries pay.
        static let busyNews = 10
        static let settlingWhenBusy: Duration = .milliseconds(50)
        /// Messages whose news are taken at once; then others have their turn on the loop.
        static let newsPerTurn = 1_000
        /// Messages looked at in one piece of disk work.
        static let looksPerJob = 100
        static let releasesPerJob = 100
        /// More than move between two looks.
        static let recentlyLeft = 10_000
        /// Moves of a release that is older than this have been told, or were missed.
        static let movesPatience: Duration = .seconds(1)
        /// Events that wait for the core; about a megabyte. Then telling waits, and news is kept by message.
        static let waitingEvents = 4_096
        /// How long the queue manager's last answer is good for.
        static let managerCheck: Duration = .seconds(1)
        /// It takes requests between two messages; one that does not in this time is stuck.
        static let managerPatience: Duration = .seconds(2)
        /// The log may be behind the queue by so much; later, how a message left stays unknown.
        static let logPatience: Duration = .seconds(1)
        static let logCheck: Duration = .milliseconds(50)
        /// Messages that wait for the log at once. Others are told without it.
        static let waitingForLog = 10_000
        /// At most this long does a scan wait until the moves during it have been told.
        static let scanPatience: Duration = .seconds(2)
    }

    /// A release whose attempt has not ended.
    struct OpenRelease {
        enum Phase { case moving, away }
        var number: UInt64
        var flush: FlushID?
        var selector: FlushSelector
        var since: ContinuousClock.Instant
        var phase = Phase.moving
        /// What was moved; nil until the rename was done, and when the core knows.
        var message: QueuedMessage?
        /// The core knows that it is in delivery.
        var isTold = false
        /// Recipients that were pending.
        var recipients = 0
        /// Outcomes in the mail log up to this number are of older attempts.
        var logNumber = 0
    }

    /// A message whose attempt has ended, and the log has not told all of it.
    struct AwaitedByLog {
        var since: ContinuousClock.Instant
        /// It came back; otherwise it has left.
        var hasEnded: Bool
    }

    enum Phase { case opened, starting, running, stopped }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    public nonisolated var events: AsyncStream<QueueEvent> { channel.stream }
    public nonisolated let layout: QueueLayout

    nonisolated let loop: EventLoop
    nonisolated let pool: IOPool
    nonisolated let directory: QueueDirectory
    nonisolated let manager: QueueManager
    nonisolated let time: any TimeSource
    nonisolated let logger: Logger
    nonisolated let log: MailLog?
    nonisolated let channel: EventBuffer
    nonisolated let watch: QueueWatch
    /// Held by the one who moves: the kernel lets only one rename into `incoming` at a time, and lets the others spin.
    nonisolated let moves = Mutex(())
    private nonisolated let news: AsyncStream<Void>

    var phase = Phase.opened
    var releases: [QueueID: OpenRelease] = [:]
    var nextRelease: UInt64 = 0
    /// Messages whose leaving was told; moves that were read later tell it again.
    var recentlyLeft = RecentIDs(limit: Limits.recentlyLeft)
    /// Pieces of disk work that release messages at this moment, and the follower of news when it waits for their end.
    var jobsUnderWay = 0
    var jobWaiter: CheckedContinuation<Void, Never>?
    /// The follower's turn; releases that come meanwhile.
    var isFollowersTurn = false
    var waitingReleases: [CheckedContinuation<Void, Never>] = []
    var awaitedByLog: [QueueID: AwaitedByLog] = [:]
    var isLogCheckDue = false
    var checkedLogNumber = 0
    /// News up to this number has been told, and who waits for that.
    var toldNumber: UInt64 = 0
    var tellWaiters: [(number: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
    /// The flush of everything that has had all dead destinations forgotten.
    var lastForgetting: FlushID?
    private var managerProblem: String?
    private var managerChecked: ContinuousClock.Instant?
    private var managerCheck: Task<Void, Never>?
    private var follower: Task<Void, Never>?

    /// - Parameters:
    ///   - mailLog: the file that Postfix logs to, to tell delivered from bounced; without it a message that leaves has `departed`.
    ///   - logger: is given queue IDs and paths, never addresses or content.
    public init(
        layout: QueueLayout, mailLog: String? = nil, loop: EventLoop, pool: IOPool, time: any TimeSource, logger: Logger
    ) {
        self.init(layout: layout, mailLog: mailLog, loop: loop, pool: pool, time: time, logger: logger, backlog: nil)
    }

    /// - Parameter backlog: events that wait, and messages whose news waits behind them, where a test wants fewer.
    init(
        layout: QueueLayout, mailLog: String?, loop: EventLoop, pool: IOPool, time: any TimeSource, logger: Logger, backlog: Int?
    ) {
        channel = EventBuffer(limit: backlog ?? Limits.waitingEvents)
        log = mailLog.map { MailLog(path: $0, logger: logger) }
        self.layout = layout
        self.loop = loop
        self.pool = pool
        self.time = time
        self.logger = logger
        directory = QueueDirectory(layout: layout)
        manager = QueueManager(queueDirectory: layout.queueDirectory)
        let (news, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.news = news
        watch = QueueWatch(directory, logger: logger, limit: backlog ?? QueueWatch.maximumMessages) { continuation.yield() }
    }

    /// Begins to follow the queue. A Postfix that is stopped is no error; a queue directory that cannot be read is one.
    public func start() async throws(MailQueueError) {
        guard phase == .opened else { return }
        phase = .starting
        do throws(QueueFileError) {
            try await pool.run { [watch] () throws(QueueFileError) in try watch.start() }
        } catch {
            phase = .opened
            throw .unavailable("the queue below \(layout.queueDirectory) cannot be followed: \(error)")
        }
        guard phase == .starting else { return await pool.run { [watch] in watch.stop() } }
        phase = .running
        follower = Task { [news] in
            for await _ in news {
                await time.sleep(for: Limits.settling)
                guard phase == .running else { return }
                await takeNews()
            }
        }
    }

    /// Stops following; the events end. What was released stays released.
    public func stop() async {
        guard phase == .running || phase == .starting else { return }
        phase = .stopped
        follower?.cancel()
        channel.end()
        wakeScans { _ in true }
        await follower?.value
        await pool.run { [watch] in watch.stop() }
    }

    public func remove(_ id: QueueID) async throws(MailQueueError) {
        throw .unsupported("Postfix's own tool removes messages: postsuper -d \(id)")
    }

    /// The queue manager cannot be reached, or does not answer: what is released would stay where it is put. It is asked at most once a second.
    public func trouble() async -> String? {
        guard phase == .running else { return "the queue is not being followed" }
        if isManagerCheckFresh { return managerProblem }
        if managerCheck == nil {
            managerCheck = Task {
                note(await pool.run { [manager] in manager.problem(with: [.scanIncoming], waiting: Limits.managerPatience) })
                managerChecked = loop.now
                managerCheck = nil
            }
        }
        await managerCheck?.value
        return managerProblem
    }

    public nonisolated var isKnownToBeReady: Bool {
        atHand(on: loop) { $0.phase == .running && $0.managerProblem == nil && $0.isManagerCheckFresh } ?? false
    }

    private var isManagerCheckFresh: Bool {
        managerCheck == nil && managerChecked.map { loop.now - $0 < Limits.managerCheck } ?? false
    }

    /// Tells the queue manager something, and does not wait until it has read it.
    func trigger(_ commands: [QueueManager.Command]) async {
        noteTrigger(await pool.run { [manager] in manager.problem(with: commands) })
    }

    /// Takes what came of a trigger. That it was sent does not show that anybody reads it.
    func noteTrigger(_ problem: String?) {
        guard let problem else { return }
        note(problem)
        managerChecked = loop.now
    }

    private func note(_ problem: String?) {
        guard problem != managerProblem else { return }
        managerProblem = problem
        if let problem {
            logger.warning("the queue manager", metadata: ["problem": "\(problem)"])
        } else {
            logger.notice("the queue manager answers again")
        }
    }
}
