// The embedded mail queue: one directory, one file per message, retries, delivery and reports.

import DiskPort
import DispatchSockets
import FlushCore
import HashTreeCollections
import Logging

/// A durable spool that delivers to the relay domains' next hops.
///
/// The files are the truth (`SpoolDirectory`); this actor keeps a small entry per message and decides who is tried when. It runs on the
/// event loop; whatever may block runs on the I/O pool. A crash at any instant loses no accepted message; sent twice is at most what
/// was in transmission, from the end of the content to the synced status byte.
///
/// Recipients of an `etrn-only` domain are tried only by a `release`. After a restart they wait again: who asked is told `interrupted`.
public actor SpoolQueue: MailQueue {
    /// How the engine hands a message to a next hop; `DeliveryClient.deliver`, or a test's own.
    package typealias Deliver = @Sendable (Delivery) async -> DeliveryResult

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    public nonisolated var events: AsyncStream<QueueEvent> { eventBuffer.stream }
    public nonisolated let parameters: SpoolParameters

    nonisolated let executor: any SerialExecutor
    nonisolated let pool: any DiskWorker
    nonisolated let directory: SpoolDirectory
    nonisolated let routes: any MailRoutes
    nonisolated let time: any TimeSource
    nonisolated let logger: Logger
    nonisolated let eventBuffer: EventBuffer
    let deliver: Deliver
    /// What a message on its way in keeps in memory at most.
    nonisolated let intakeMemory: Int
    let incomingSync: DirectorySync
    let deferredSync: DirectorySync

    /// Every message that the queue knows; the files' shadow. A tree, because a copy of it costs nothing: who must go through all of them
    /// does so on the pool, and holds nobody up.
    var entries: TreeDictionary<QueueID, Entry> = [:]
    /// Messages on their way in, or reports that may not be sent yet: on disk perhaps, but not the queue's.
    var arriving: Set<QueueID> = []
    /// Messages whose files are being looked at (`refresh`), and who waits for the end of that.
    var looks: [QueueID: [CheckedContinuation<Void, Never>]] = [:]
    var schedule = RetrySchedule()
    var lanes: DeliveryLanes<Lane, Work>
    var sites = SiteStates()
    /// The last flush of everything that has made all next hops be tried again.
    var lastWholeFlush: FlushID?
    /// Outcomes that the disk did not take; remembered so that nobody gets a message twice while this process lives.
    var unsynced: [QueueID: [Int: SpoolEnvelope.Status]] = [:]
    var ids: SpoolID
    /// Files in `bounces`, as far as we know.
    var keptReports = 0
    var isTrimmingReports = false
    /// One-domain arrays shared by all messages for the domain; cleared when it grows.
    var sharedDomains: [DomainName: [DomainName]] = [:]
    /// Free bytes on the spool's file system, and when the disk was asked.
    var freeSpace: (bytes: Int, asked: Timestamp)?
    var phase = Phase.opened
    var transmissions: [Int: Task<Void, Never>] = [:]
    var nextTransmission = 0
    var idleWaiters: [CheckedContinuation<Void, Never>] = []
    var alarm: (time: Timestamp, task: Task<Void, Never>)?
    /// The time when the schedule was last used.
    var lastSeenTime: Timestamp?

    /// What the start has found so far.
    var found = SpoolStart()
    var isFilling = false
    /// Messages that somebody has asked for by name before they were read; who asked has made their entries.
    var lookedAt: Set<QueueID> = []

    /// `filling`: it takes mail and answers, and delivers nothing until the files of all waiting messages have been read.
    enum Phase: Sendable { case opened, filling, running, stopping, stopped }

    /// Whether it is asked to do its work, be it now or when everything is known.
    var isServing: Bool { phase == .filling || phase == .running }

    /// Delivers with libcurl.
    ///
    /// Opens and locks the spool at `path`, which is made when it is not there; nothing is read or tried before `start()`.
    ///
    /// - Parameters:
    ///   - pool: mail is taken in as fast as the disk syncs, and a disk syncs many files at once faster than one after the other: a thread
    ///     for each connection that sends mail at the same time is not too many.
    ///   - logger: is given queue IDs and domains, never addresses or content.
    public init(
        path: String, parameters: SpoolParameters, routes: any MailRoutes, client: DeliveryClient, loop: EventLoop, pool: IOPool,
        time: any TimeSource, logger: Logger
    ) throws(SpoolError) {
        let directory = try SpoolDirectory(path: path)
        self.init(
            directory: directory, parameters: parameters, routes: routes, executor: loop, pool: pool, time: time, logger: logger,
            deliver: { await client.deliver($0) })
    }

    /// Over any disk, and with any way of delivery.
    package init(
        path: String, on disk: any Disk, parameters: SpoolParameters, routes: any MailRoutes, executor: any SerialExecutor, pool: any DiskWorker,
        time: any TimeSource, logger: Logger, random: any RandomNumberGenerator & Sendable, intakeMemory: Int, deliver: @escaping Deliver
    ) throws(SpoolError) {
        let directory = try SpoolDirectory(path: path, on: disk)
        self.init(
            directory: directory, parameters: parameters, routes: routes, executor: executor, pool: pool, time: time, logger: logger,
            ids: SpoolID(random: random), intakeMemory: intakeMemory, deliver: deliver)
    }

    init(
        directory: SpoolDirectory, parameters: SpoolParameters, routes: any MailRoutes, executor: any SerialExecutor, pool: any DiskWorker,
        time: any TimeSource, logger: Logger, eventLimit: Int = EventBuffer.maximumEvents, ids: SpoolID = SpoolID(),
        intakeMemory: Int = SpoolWriter.inMemory, deliver: @escaping Deliver
    ) {
        self.directory = directory
        self.parameters = parameters
        self.routes = routes
        self.executor = executor
        self.pool = pool
        self.ids = ids
        self.intakeMemory = intakeMemory
        self.time = time
        self.logger = logger
        self.deliver = deliver
        eventBuffer = EventBuffer(limit: eventLimit)
        lanes = DeliveryLanes(total: parameters.deliveryConcurrency)
        incomingSync = DirectorySync(.incoming, of: directory, pool: pool, executor: executor)
        deferredSync = DirectorySync(.deferred, of: directory, pool: pool, executor: executor)
    }

    /// What the engine takes from an SMTP server.
    public nonisolated var intake: SpoolIntake { SpoolIntake(queue: self) }

    /// Makes no new attempts, waits for those that run, at most `limit`, and lets go of the spool.
    ///
    /// What is still in transmission then is cancelled and tried again after the next start.
    public func stop(within limit: Duration) async {
        guard isServing || phase == .opened else { return }
        phase = .stopping
        alarm?.task.cancel()
        alarm = nil
        if !transmissions.isEmpty {
            let timer = Task { [time] in
                await time.sleep(for: limit)
                if !Task.isCancelled { giveUpWaiting() }
            }
            await withCheckedContinuation { waiter in
                // Asked again: the last one may have ended on the way here.
                guard !transmissions.isEmpty else { return waiter.resume() }
                idleWaiters.append(waiter)
            }
            timer.cancel()
        }
        phase = .stopped
        for task in transmissions.values { task.cancel() }
        eventBuffer.end()
        directory.unlock()
    }

    private func giveUpWaiting() {
        logger.warning("stopping with transmissions under way", metadata: ["count": "\(transmissions.count)"])
        wakeIdleWaiters()
    }

    func wakeIdleWaiters() {
        let waiters = idleWaiters
        idleWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    // MARK: Entries

    /// The next queue ID; a file of that name in the queue would be replaced.
    func makeID() -> QueueID {
        while true {
            let id = ids.next(at: time.now)
            guard entries[id] == nil, !arriving.contains(id) else { continue }
            // One that is not read yet may have it, after the clock was set back.
            if phase != .filling || !directory.contains(id, in: .deferred) { return id }
        }
    }

    func queued(_ id: QueueID, _ entry: Entry) -> QueuedMessage {
        QueuedMessage(id: id, place: entry.place, arrival: entry.arrival, size: entry.size, domains: entry.domains)
    }

    func tell(_ event: QueueEvent) { eventBuffer.send(event) }

    func entry(for envelope: SpoolEnvelope, in folder: SpoolFolder, next: Timestamp) -> Entry {
        Entry(
            arrival: envelope.arrival, size: envelope.size, domains: shared(envelope.pendingDomains), next: next, folder: folder,
            isReport: envelope.report != nil, hasPending: envelope.hasPending,
            owesReport: envelope.owesReport)
    }

    /// Most messages go to one domain: they share its array.
    func shared(_ domains: [DomainName]) -> [DomainName] {
        guard let domain = domains.first, domains.count == 1 else { return domains }
        if let known = sharedDomains[domain] { return known }
        // Enough for the domains of a busy hour; what is dropped here lives on in its messages.
        let limit = 10_000
        if sharedDomains.count >= limit { sharedDomains.removeAll(keepingCapacity: true) }
        sharedDomains[domain] = domains
        return domains
    }
}
