// HTTP requests on one event loop with libcurl: many at once, over connections that libcurl keeps.

import CCurl
import DequeModule
import DispatchSockets

/// Carries HTTP requests. At most `maximumTransfers` run, on as many connections; the others wait in order.
///
/// Connections are kept for further requests, at most `maximumTransfers` and not for long. The process should ignore SIGPIPE (an encrypted
/// connection that the server has reset may raise it). `shutdown` or `close` ends it; it must not be dropped before.
// @unchecked: all state is touched only on `loop`; `perform` and `shutdown` go there first.
public final class CurlHTTP: @unchecked Sendable {
    /// More requests than this do not wait; they end as `.noResources`.
    public static let maximumWaiting = 10_000

    public let loop: EventLoop
    private let maximumTransfers: Int
    private var driver: CurlDriver?
    private var waiting: Deque<HTTPJob> = []
    private var running: [ObjectIdentifier: HTTPJob] = [:]
    private var isClosed = false

    public init(loop: EventLoop, maximumTransfers: Int) {
        self.loop = loop
        self.maximumTransfers = max(1, maximumTransfers)
    }

    /// Sends a request and returns what became of it; never throws, because half an answer is one too.
    ///
    /// Cancelling the task ends it at once as `.cancelled`: the server may have carried it out all the same.
    public func perform(_ request: CurlHTTPRequest) async -> CurlHTTPAnswer {
        if let defect = request.defect { return CurlHTTPAnswer(ending: .invalid(defect)) }
        let job = HTTPJob(request)
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

    /// Ends all requests as `.cancelled` and closes all connections. New requests end at once.
    public func shutdown() async {
        await withCheckedContinuation { continuation in
            loop.execute { [self] in
                close()
                continuation.resume()
            }
        }
    }

    /// As `shutdown`. Only on the loop.
    public func close() {
        loop.preconditionCurrent()
        isClosed = true
        for job in waiting { end(job, .cancelled) }
        waiting = []
        for job in Array(running.values) { end(job, .cancelled) }
        driver?.close()
        driver = nil
    }

    // MARK: Admission

    private func submit(_ job: HTTPJob) {
        if job.isCancelled || isClosed { return complete(job, CurlHTTPAnswer(ending: .cancelled)) }
        guard waiting.count < Self.maximumWaiting else {
            return complete(job, CurlHTTPAnswer(ending: .noResources("\(Self.maximumWaiting) requests wait already")))
        }
        job.deadline = .now + job.request.overallTimeout
        job.timer = loop.schedule(after: job.request.overallTimeout) { [self, job] in end(job, .timedOut) }
        guard running.count >= maximumTransfers else { return begin(job) }
        job.stage = .waiting
        waiting.append(job)
    }

    private func beginWaiting() {
        while !isClosed, running.count < maximumTransfers, let job = waiting.popFirst() {
            // One whose time is up is its timer's: it would be sent for nobody.
            if case .waiting = job.stage, ContinuousClock.now < job.deadline { begin(job) }
        }
    }

    private func begin(_ job: HTTPJob) {
        guard let driver = driver ?? makeDriver(), let easy = driver.makeEasy(for: job.request) else {
            return complete(job, CurlHTTPAnswer(ending: .noResources("libcurl has no memory, or lacks an option")))
        }
        running[ObjectIdentifier(job)] = job
        job.stage = .running(easy)
        easy.finished = { [self, job, unowned easy] code in finish(job, easy, easy.ending(for: code), code) }
        guard driver.start(easy) else {
            return complete(job, CurlHTTPAnswer(ending: .noResources("libcurl does not take another request")))
        }
    }

    private func makeDriver() -> CurlDriver? {
        driver = CurlDriver(loop: loop, maximumConnections: maximumTransfers)
        return driver
    }

    // MARK: Ends

    /// Ends a job from outside, wherever it stands.
    private func end(_ job: HTTPJob, _ ending: CurlHTTPAnswer.Ending) {
        switch job.stage {
        case .new, .ended: break
        case .waiting: complete(job, CurlHTTPAnswer(ending: ending))
        case .running(let easy): finish(job, easy, ending)
        }
    }

    private func finish(_ job: HTTPJob, _ easy: CurlHTTPEasy, _ ending: CurlHTTPAnswer.Ending, _ code: CURLcode = CURLE_OK) {
        let answer = easy.answer(ending, code)
        driver?.remove(easy)
        complete(job, answer)
    }

    private func complete(_ job: HTTPJob, _ answer: CurlHTTPAnswer) {
        job.stage = .ended
        job.timer?.cancel()
        job.timer = nil
        running[ObjectIdentifier(job)] = nil
        let completion = job.completion
        job.completion = nil
        completion?(answer)
        beginWaiting()
    }
}

/// A request from the moment it is asked for until its answer is told.
// @unchecked: touched only on the loop of its `CurlHTTP`.
private final class HTTPJob: @unchecked Sendable {
    enum Stage {
        /// Not yet begun; `isCancelled` may be set already.
        case new
        case waiting
        case running(CurlHTTPEasy)
        case ended
    }

    let request: CurlHTTPRequest
    var stage = Stage.new
    var isCancelled = false
    var deadline = ContinuousClock.now
    var timer: LoopTimer?
    var completion: ((CurlHTTPAnswer) -> Void)?

    init(_ request: CurlHTTPRequest) { self.request = request }
}
