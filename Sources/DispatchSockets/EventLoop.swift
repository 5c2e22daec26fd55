// One thread of control for all sockets: a serial queue with one dispatch source on an epoll set of its own.

import Dispatch
import Glibc
import Synchronization

/// An event loop: sockets, timers, signals and the tasks that run on it as their executor.
///
/// Everything that belongs to a loop (listeners, connections, watches, timers) is used only on it. `execute`, `run`, `sync` and
/// `enqueue` may be called from anywhere. Between two callbacks nothing is left half done, so state that only the loop touches
/// needs no lock. Nothing on the loop may block: everybody else's sockets wait meanwhile.
///
/// A loop lives until `shutdown()`, or until nobody holds it; its sockets and pending timers hold it too.
// @unchecked: `queue`, `mailbox` and `currentThread` are safe from any thread. All else is touched only between `enter` and
// `leave`, which run on the serial queue; public entry points check that with `preconditionCurrent`.
public final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
    /// What waits to be run.
    enum Work {
        case block(@Sendable () -> Void)
        case job(UnownedJob)
    }

    /// Work from elsewhere.
    private struct Mailbox {
        enum Reader {
            /// Will look into the mailbox before it waits or ends its turn.
            case busy
            /// Waits in the kernel, within a turn or in Dispatch's hands; an event wakes it.
            case waiting
            /// Shut down: its descriptors may be somebody else's, and only its queue is left.
            case shutDown
        }

        private(set) var work: [Work] = []
        var reader = Reader.waiting
        /// Work holds the loop until it has been run: what would run it is only on its way.
        private var loop: EventLoop?

        mutating func add(_ work: Work, for loop: EventLoop) {
            self.work.append(work)
            self.loop = loop
        }

        mutating func takeWork() -> [Work] {
            defer { (work, loop) = ([], nil) }
            return work
        }
    }

    /// Milliseconds that a turn waits for the next event before it gives the thread back: whoever asks again soon is then served
    /// without two more threads being woken, which costs more than most requests.
    static let linger: Int64 = 10
    /// Nanoseconds after which a turn ends though events keep coming, so that the queue's other work has its turn.
    static let turnTime: Int64 = 20_000_000
    /// Pieces of local work in one turn; the rest follows after the queue's other work.
    static let workPerTurn = 4096
    /// Nanoseconds of local work after which sockets get their turn before the rest: who has much to do must not make others wait.
    static let workTime: Int64 = 500_000
    /// Times that work may bring up new work in one turn.
    static let passesPerTurn = 64
    /// The bytes read, and collected for sending, at once; one buffer of each serves all connections.
    static let scratchSize = 256 * 1024

    public let label: String
    let poller: Poller
    let readScratch: UnsafeMutableRawBufferPointer
    var timers = TimerQueue()
    var output: OutputScratch
    /// Connections with something to settle before the turn ends, each once.
    var unsettled: [Connection] = []
    /// Listeners that wait for a free descriptor.
    var starved: [Listener] = []

    let queue: DispatchQueue
    private let source: any DispatchSourceRead
    let alarm: any DispatchSourceTimer
    /// When the alarm will ring, in ticks.
    var alarmDue = Int64.max
    let origin = ContinuousClock.now
    /// `origin`, as `EventLoop.clock` counts.
    let originNanoseconds = EventLoop.clock
    private(set) var ticks: Int64 = 0
    private(set) var isShutDown = false
    private var localWork: [Work] = []
    /// For `runAtOnce`: the next job is caught instead of queued.
    var catchesJob = false
    var caughtJob: UnownedJob?
    /// The other halves of `localWork` and `unsettled`, empty between uses: swapped instead of allocated anew.
    private var runningWork: [Work] = []
    private var settling: [Connection] = []
    /// How often the loop has been woken; tests see spinning by it.
    private(set) var turnCount: UInt64 = 0
    private let mailbox = Mutex(Mailbox())
    /// The thread that runs the loop at this moment, or 0.
    private let currentThread = Atomic<UInt>(0)

    /// Makes a loop that runs at once.
    public init(label: String) throws(SocketError) {
        self.label = label
        let poller = try Poller()
        self.poller = poller
        readScratch = .allocate(byteCount: Self.scratchSize, alignment: 16)
        output = OutputScratch(capacity: Self.scratchSize)
        queue = DispatchQueue(label: label)
        source = DispatchSource.makeReadSource(fileDescriptor: poller.descriptor, queue: queue)
        alarm = DispatchSource.makeTimerSource(queue: queue)
        source.setEventHandler { @Sendable [weak self] in self?.turn() }
        // The set is closed only when Dispatch has let go of it.
        let (descriptor, wakeup) = (poller.descriptor, poller.wakeup)
        source.setCancelHandler { @Sendable in
            _ = close(descriptor)
            _ = close(wakeup)
        }
        alarm.setEventHandler { @Sendable [weak self] in self?.alarmRang() }
        source.activate()
        alarm.activate()
    }

    deinit {
        source.cancel()
        alarm.cancel()
        readScratch.deallocate()
        output.deallocate()
    }

    /// True on the loop.
    public var isCurrent: Bool {
        // Only this thread can have stored its own identity, so that a stale value of another thread does no harm.
        currentThread.load(ordering: .relaxed) == UInt(pthread_self())
    }

    /// Traps when called off the loop.
    public func preconditionCurrent() {
        precondition(isCurrent, "this must be called on its event loop")
    }

    /// Runs `work` on the loop, never before this call has returned. In order for one caller; may be called from anywhere.
    public func execute(_ work: @escaping @Sendable () -> Void) {
        submit(.block(work))
    }

    func submit(_ work: Work) {
        if isCurrent {
            localWork.append(work)
            return
        }
        let needsTurn = mailbox.withLock { mailbox in
            mailbox.add(work, for: self)
            guard mailbox.work.count == 1 else { return false }
            switch mailbox.reader {
            case .busy: return false
            case .waiting:
                // Under the lock: once the loop is shut down, nobody writes to a descriptor that it may close.
                poller.wake()
                return false
            case .shutDown: return true
            }
        }
        if needsTurn { queue.async { @Sendable in self.turn() } }
    }

    private func takeMail() {
        let received = mailbox.withLock { $0.takeWork() }
        if localWork.isEmpty { localWork = received } else { localWork.append(contentsOf: received) }
    }

    // MARK: Turns

    /// Every piece of code that runs on the loop runs between `enter` and `leave`.
    private func enter() {
        currentThread.store(UInt(pthread_self()), ordering: .relaxed)
        mailbox.withLock { if $0.reader == .waiting { $0.reader = .busy } }
        ticks = elapsed
    }

    private func leave() {
        finish()
        setAlarm()
        let hasMail = mailbox.withLock { mailbox in
            if mailbox.reader == .busy { mailbox.reader = .waiting }
            return !mailbox.work.isEmpty
        }
        currentThread.store(0, ordering: .relaxed)
        // After the queue's other work.
        if hasWork || hasMail { queue.async { @Sendable in self.turn() } }
    }

    /// Serves sockets, mail, timers and local work in rounds, until nothing comes or the turn's time is over.
    func turn() {
        enter()
        let end = ticks + Self.turnTime
        var count = isShutDown ? 0 : poller.poll()
        while true {
            if dispatchAll(count) { turnCount += 1 }
            takeMail()
            fireTimers()
            finish()
            ticks = elapsed
            guard !isShutDown, ticks < end else { break }
            // Sockets have their turn before work that is left over; after a full batch there may be more.
            count = hasWork || count >= Self.busyBatch ? poller.poll() : 0
            if count == 0, !hasWork {
                guard let waited = waitForEvents() else { break }
                count = waited
            }
            ticks = elapsed
        }
        leave()
    }

    /// With fewer events than this in a round, another round would mostly find nothing.
    private static let busyBatch = 8

    /// Waits a moment on this thread. Returns the number of events, 0 when there is mail; nil when nothing came, or a timer is due.
    private func waitForEvents() -> Int? {
        let patience = min(Self.linger, timers.firstDue.map { ($0 - ticks) / 1_000_000 } ?? .max)
        guard patience > 0 else { return nil }
        let mayWait = mailbox.withLock { mailbox in
            guard mailbox.work.isEmpty else { return false }
            mailbox.reader = .waiting
            return true
        }
        guard mayWait else { return 0 }
        let count = poller.poll(milliseconds: CInt(patience))
        let hasMail = mailbox.withLock { mailbox in
            mailbox.reader = .busy
            return !mailbox.work.isEmpty
        }
        return count > 0 || hasMail ? count : nil
    }

    /// Returns whether one of the events was for somebody.
    @discardableResult
    private func dispatchAll(_ count: Int) -> Bool {
        var hasOwner = false
        for index in 0..<count {
            guard let (owner, events) = poller.event(index) else { continue }
            hasOwner = true
            switch owner {
            case .connection(let connection): connection.ready(events)
            case .listener(let listener): listener.ready()
            case .watch(let watch): watch.ready(events)
            }
        }
        return hasOwner
    }

    /// Runs the work that has come up, sends what was written, and tells what has to be told, until nothing is left or the bound is
    /// reached: then `hasWork` stays true.
    private func finish() {
        var budget = Self.workPerTurn
        var passes = 0
        let end = elapsed + Self.workTime
        while hasWork, budget > 0, passes < Self.passesPerTurn {
            runLocalWork(&budget, until: end)
            sendOutput()
            swap(&unsettled, &settling)
            for connection in settling { connection.settle() }
            Self.clear(&settling)
            passes += 1
        }
    }

    /// Sends what connections have written.
    func sendOutput() {
        output.drain { connection, bytes in connection.sendPart(bytes) }
    }

    private var hasWork: Bool { !localWork.isEmpty || !output.isEmpty || !unsettled.isEmpty }

    /// Empties an array for its next use, and frees it when a burst has made it large.
    private static func clear<Element>(_ array: inout [Element]) {
        array.removeAll(keepingCapacity: array.capacity <= keptCapacity)
    }

    private static let keptCapacity = 1024

    /// Takes from the budget what it has run, and all of it when `end` has come.
    private func runLocalWork(_ budget: inout Int, until end: Int64) {
        guard !localWork.isEmpty else { return }
        swap(&localWork, &runningWork)
        var done = 0
        while done < runningWork.count, budget > 0 {
            switch runningWork[done] {
            case .block(let body): body()
            case .job(let job): run(job)
            }
            done += 1
            budget = elapsed < end ? budget - 1 : 0
        }
        if done < runningWork.count { localWork.insert(contentsOf: runningWork[done...], at: 0) }
        Self.clear(&runningWork)
    }

    // MARK: Descriptors

    /// Watches a descriptor that somebody else owns and will close after `cancel`. Level-triggered. Only on the loop.
    ///
    /// - Throws: `.system` when it cannot be watched: a plain file, or watched by this loop already.
    public func watch(
        _ descriptor: CInt, for interest: Interest, _ handler: @escaping (Interest) -> Void
    ) throws(SocketError) -> Watch {
        try checkIsOpen()
        return try Watch(loop: self, descriptor: descriptor, interest: interest, handler: handler)
    }

    /// Listens at `address` and hands every connection to `accept`, which must set its handler. Only on the loop.
    ///
    /// - Throws: `.inUse` when somebody else listens there; `.system` for what the kernel refuses.
    public func listen(
        at address: SocketAddress, limits: ListenerLimits = ListenerLimits(), accept: @escaping (Connection) -> Void
    ) throws(SocketError) -> Listener {
        try checkIsOpen()
        return try Listener(loop: self, address: address, limits: limits, accept: accept)
    }

    private func checkIsOpen() throws(SocketError) {
        preconditionCurrent()
        // The descriptor of the set may be somebody else's by now.
        guard !isShutDown else { throw .resource("the event loop \(label) has been shut down") }
    }

    /// Called when a socket of this loop was closed: who waited for a descriptor may try again.
    func descriptorWasFreed() {
        guard !starved.isEmpty else { return }
        let listeners = starved
        starved.removeAll()
        for listener in listeners { listener.descriptorWasFreed() }
    }

    /// Ends the loop: closes its listeners, aborts its connections, cancels its watches and timers. Tasks and work still run. From anywhere.
    public func shutdown() {
        guard isCurrent else {
            execute { self.shutdown() }
            return
        }
        guard !isShutDown else { return }
        for owner in poller.owners {
            switch owner {
            case .connection(let connection): connection.abort()
            case .listener(let listener): listener.close()
            case .watch(let watch): watch.cancel()
            }
        }
        isShutDown = true
        mailbox.withLock { $0.reader = .shutDown }
        while timers.popDue(by: .max) != nil {}
        alarm.cancel()
        source.cancel()
    }
}
