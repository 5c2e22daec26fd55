// The door to libcurl: transfers on one event loop, a bounded number at a time, over connections that may serve several.

import CCurl
import DequeModule
import DispatchSockets

/// Carries transfers with libcurl on an event loop. One for each loop.
///
/// At most `maximumTransfers` run; the others wait in order. Connections that are still good after a transfer are kept for the next one to
/// the same server, at most `maximumCachedConnections` and not for long. The process should ignore SIGPIPE (an encrypted connection that
/// the server has reset may raise it).
// @unchecked: all state is touched only on `loop`; `perform` and `shutdown` go there first.
public final class CurlMulti: @unchecked Sendable {
    /// More transfers than this do not wait; they end as `.noResources`.
    public static let maximumWaiting = 10_000
    /// How long a connection is kept without work. Short: a server has better uses for its own slots.
    static let idleLimit = Duration.seconds(3)
    /// How long a connection is used again at most; a server's own limits tend to be higher.
    static let reuseLimit = Duration.seconds(300)

    public let loop: EventLoop
    private let maximumTransfers: Int
    private let maximumCachedConnections: Int
    private var driver: CurlDriver?
    private var waiting: Deque<TransferJob> = []
    private var running: [ObjectIdentifier: TransferJob] = [:]
    /// Oldest first.
    private var idle: [MailSession] = []
    private var isClosed = false
    private var closedWaiters: [() -> Void] = []

    public init(loop: EventLoop, maximumTransfers: Int, maximumCachedConnections: Int) {
        self.loop = loop
        self.maximumTransfers = max(1, maximumTransfers)
        self.maximumCachedConnections = max(0, maximumCachedConnections)
    }

    /// Carries out a transfer and returns what became of it; never throws, because half an answer is one too.
    ///
    /// Cancelling the task ends the transfer at once as `.cancelled`: a message whose final dot has not been sent is not delivered; one whose
    /// dot has been sent may have been. Returns only when nothing of `transfer.content` is being called any more.
    public func perform(_ transfer: CurlTransfer) async -> CurlResult {
        if let defect = transfer.defect { return CurlResult(ending: .invalid(defect)) }
        let job = TransferJob(transfer)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                loop.execute { [self] in
                    job.completion = { continuation.resume(returning: $0) }
                    submit(job)
                }
            }
        } onCancel: {
            loop.execute { [self] in
                job.isCancelled = true
                end(job, .cancelled)
            }
        }
    }

    /// Ends all transfers as `.cancelled`, closes all connections, and returns when that is done. New transfers end at once.
    public func shutdown() async {
        await withCheckedContinuation { continuation in
            loop.execute { [self] in
                closedWaiters.append { continuation.resume() }
                close()
            }
        }
    }

    /// As `shutdown`, without waiting for uploads that are being read. Only on the loop.
    public func close() {
        loop.preconditionCurrent()
        isClosed = true
        for job in waiting { end(job, .cancelled) }
        for job in Array(running.values) { end(job, .cancelled) }
        for session in idle { session.close(sayingQuit: true) }
        idle = []
        driver?.close()
        driver = nil
        tellClosed()
    }

    private func tellClosed() {
        guard isClosed, running.isEmpty else { return }
        let waiters = closedWaiters
        closedWaiters = []
        for waiter in waiters { waiter() }
    }

    // MARK: Admission

    private func submit(_ job: TransferJob) {
        if job.isCancelled || isClosed { return complete(job, CurlResult(ending: .cancelled)) }
        guard running.count >= maximumTransfers else { return begin(job) }
        guard waiting.count < Self.maximumWaiting else {
            return complete(job, CurlResult(ending: .noResources("\(Self.maximumWaiting) transfers wait already")))
        }
        job.stage = .waiting
        waiting.append(job)
    }

    private func beginWaiting() {
        while !isClosed, running.count < maximumTransfers, let job = waiting.popFirst() {
            if case .waiting = job.stage { begin(job) }
        }
    }

    private func begin(_ job: TransferJob) {
        running[ObjectIdentifier(job)] = job
        job.overallTimer = loop.schedule(after: job.transfer.overallTimeout) { [self, job] in end(job, .timedOut) }
        if job.transfer.mayReuseConnection, let session = takeIdle(MailSession.Key(job.transfer)) {
            carry(job, over: session)
        } else {
            open(job)
        }
    }

    /// Ends a job from outside, wherever it stands.
    private func end(_ job: TransferJob, _ ending: CurlResult.Ending) {
        switch job.stage {
        case .new, .ended: break
        case .waiting: complete(job, CurlResult(ending: ending))
        case .opening(let easy): failed(job, easy, ending)
        case .carried(let session): session.end(ending)
        }
    }

    private func complete(_ job: TransferJob, _ result: CurlResult) {
        job.stage = .ended
        job.openingTimer?.cancel()
        job.overallTimer?.cancel()
        running[ObjectIdentifier(job)] = nil
        let completion = job.completion
        job.completion = nil
        completion?(result)
        beginWaiting()
        tellClosed()
    }

    // MARK: Opening

    private func open(_ job: TransferJob) {
        guard let driver = driver ?? makeDriver(), let easy = driver.makeEasy(for: CurlOpening(job.transfer)) else {
            return complete(job, CurlResult(ending: .noResources("libcurl has no memory, or lacks an option")))
        }
        job.stage = .opening(easy)
        job.lastProgress = .now
        easy.finished = { [self, job, unowned easy] code in opened(job, easy, code) }
        easy.progressed = { [self, job, unowned easy] in
            job.lastProgress = .now
            guard easy.repliesAreMalformed else { return }
            // Called from within libcurl, which would wait for a better reply.
            loop.execute { [self, job] in
                if case .opening = job.stage { end(job, .malformedReply) }
            }
        }
        guard driver.start(easy) else {
            return complete(job, CurlResult(ending: .noResources("libcurl does not take another transfer")))
        }
        watchOpening(job, easy, after: job.transfer.connectTimeout)
    }

    /// Two limits, one timer: for the connection, then for each reply.
    private func watchOpening(_ job: TransferJob, _ easy: CurlEasy, after delay: Duration) {
        job.openingTimer = loop.schedule(after: delay) { [self, job, unowned easy] in
            guard easy.isConnected else { return end(job, .timedOut) }
            let left = job.lastProgress + job.transfer.replyTimeout - ContinuousClock.now
            guard left > .zero else { return end(job, .timedOut) }
            watchOpening(job, easy, after: left)
        }
    }

    private func opened(_ job: TransferJob, _ easy: CurlEasy, _ code: CURLcode) {
        guard case .opening = job.stage, let driver else { return }
        if easy.repliesAreMalformed { return failed(job, easy, .malformedReply) }
        guard code == CURLE_OK else {
            let isLost = code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING
            return failed(job, easy, isLost && easy.isConnected ? .lost : .notOpened, code)
        }
        easy.openingEnded()
        guard let session = MailSession(easy, for: job.transfer, on: loop, driver: driver) else {
            return failed(job, easy, .lost)
        }
        job.openingTimer?.cancel()
        carry(job, over: session)
    }

    private func failed(_ job: TransferJob, _ easy: CurlEasy, _ ending: CurlResult.Ending, _ code: CURLcode = CURLE_OK) {
        var result = CurlResult(ending: ending)
        result.interruptedStep = easy.isConnected ? easy.step : nil
        result.code = Int(code.rawValue)
        if code != CURLE_OK { result.errorText = easy.errorText.isEmpty ? String(cString: curl_easy_strerror(code)) : easy.errorText }
        result.systemError = easy.systemError
        result.address = easy.address
        result.connected = easy.isConnected
        result.exchanges = easy.exchanges
        driver?.remove(easy)
        complete(job, result)
    }

    private func makeDriver() -> CurlDriver? {
        let made = CurlDriver(loop: loop, maximumConnections: maximumTransfers + maximumCachedConnections)
        made?.socketWasClosed = { [unowned self] socket in
            // From within libcurl: a session that it still believes in must hear of it, but later. Whose socket it was is known only now:
            // its number may be another connection's by then.
            var gone = idle.filter { $0.isOpen && $0.socket == socket }
            for job in running.values {
                if case .carried(let session) = job.stage, session.isOpen, session.socket == socket { gone.append(session) }
            }
            guard !gone.isEmpty else { return }
            for session in gone { session.stopWatching() }
            loop.execute { [gone] in
                for session in gone { session.connectionIsGone() }
            }
        }
        driver = made
        return made
    }

    // MARK: Sessions

    private func carry(_ job: TransferJob, over session: MailSession) {
        job.stage = .carried(session)
        session.carry(job.transfer) { [self, job] result in
            if session.isOpen { keep(session) }
            complete(job, result)
        }
    }

    private func takeIdle(_ key: MailSession.Key) -> MailSession? {
        guard let index = idle.lastIndex(where: { $0.key == key }) else { return nil }
        return idle.remove(at: index)
    }

    private func keep(_ session: MailSession) {
        guard !isClosed, maximumCachedConnections > 0, loop.now - session.openedAt < Self.reuseLimit else {
            return session.close(sayingQuit: true)
        }
        if idle.count >= maximumCachedConnections { idle.removeFirst().close(sayingQuit: true) }
        idle.append(session)
        session.rest(for: Self.idleLimit) { [self, unowned session] in idle.removeAll { $0 === session } }
    }
}
