// Carries out what a session decides, on the session's connection.

import DispatchSockets

/// One client's connection: feeds the session, sends its replies, puts its questions to who knows, keeps its clocks.
///
/// `@unchecked Sendable`: everything here runs on the connection's loop. The handler's calls do by contract; the tasks are
/// started there and their executor preference brings them back there after every suspension.
final class SMTPConnection: ConnectionHandler, @unchecked Sendable {
    private let connection: Connection
    private let loop: EventLoop
    private let limits: SMTPLimits
    private let hostname: String
    private let services: SMTPServices
    private let tasks: LoopTasks
    private let tell: @Sendable (SMTPEvent) -> Void
    /// Called once, when the connection is gone and its message, if any, has found its end.
    private let finished: (SMTPConnection, SMTPEnding) -> Void

    private var session: SMTPSession
    private var writer: (any MessageWriter)?
    /// What the message under way amounts to, for `SMTPEvent.accepted`.
    private var bytes = 0
    private var recipients = 0

    /// A question is being answered.
    private var isAsking = false
    /// The task that answers; one with an older number was given up, and what it brings is for nobody.
    private var answering = 0
    private var isReadingPaused = false
    /// The client does not read its replies: nothing more is done until it does.
    private var isOutputBlocked = false
    /// The session is over and the connection closing.
    private var isLeaving = false
    private var isClosed = false
    private var isFinished = false
    private var ending = SMTPEnding.orderly

    private let started: ContinuousClock.Instant
    private var contentStarted: ContinuousClock.Instant?
    private var clock = Clock.none

    /// What the deadline that runs is about.
    private enum Clock: Equatable {
        case none
        case output
        case session(SMTPWait)
    }

    init(
        connection: Connection, hostname: String, limits: SMTPLimits, services: SMTPServices, tasks: LoopTasks,
        tell: @escaping @Sendable (SMTPEvent) -> Void, finished: @escaping (SMTPConnection, SMTPEnding) -> Void
    ) {
        self.connection = connection
        self.loop = connection.loop
        self.limits = limits
        started = connection.loop.now
        self.hostname = hostname
        self.services = services
        self.tasks = tasks
        self.tell = tell
        self.finished = finished
        session = SMTPSession(hostname: hostname, peer: connection.peer, limits: limits, offer: services.offer)
    }

    /// Sends the greeting.
    func start() {
        connection.handler = self
        advance()
    }

    /// Ends the session with a 421 as soon as no message is in flight.
    func stop() {
        session.end(with: SMTPReply(421, "4.3.2", "\(hostname) Service shutting down, closing connection"))
        advance()
    }

    /// Ends the connection now. A commit that is under way still comes to its end; its reply is lost.
    func abort() {
        guard !isClosed else { return }
        ending = .aborted
        connection.abort()
    }

    // MARK: ConnectionHandler

    func connection(_ connection: Connection, received bytes: RawSpan) {
        session.receive(bytes)
        advance()
    }

    func connectionReachedEnd(_ connection: Connection) {
        if session.waitsFor == .content { ending = .lost }
        session.inputEnded()
        advance()
    }

    func connectionDrained(_ connection: Connection) {
        isOutputBlocked = false
        advance()
    }

    func connectionTimedOut(_ connection: Connection) {
        let expired = clock
        clock = .none
        switch expired {
        case .none: return
        case .output, .session(.intake): abort()
        case .session(let wait):
            if case .etrn = wait { giveUpAnswer() }
            session.timedOut()
            advance()
        }
    }

    func connectionClosed(_ connection: Connection, error: SocketError?) {
        isClosed = true
        if error != nil, session.waitsFor != .nothing, ending == .orderly { ending = .lost }
        if case .etrn = session.waitsFor { giveUpAnswer() }
        session.disconnected()
        advance()
    }

    /// No longer waits for the answer to an ETRN; an intake's answers are always waited for, because a writer may come of them.
    private func giveUpAnswer() {
        answering += 1
        isAsking = false
    }

    // MARK: Steps

    /// Does what the session wants until it needs input or an answer.
    private func advance() {
        guard !isAsking else { return }
        if let question = nextQuestion() {
            isAsking = true
            answering += 1
            let number = answering
            // Runs at once, here; what is answered without suspending costs no turn of the loop.
            tasks.begin { await self.answer(question, number) }
        }
        settle()
    }

    /// What has to be waited for.
    private enum Question {
        case intake(SMTPStep)
        case etrn(number: Int, Answer<SMTPReply>.Work)
    }

    /// Answers questions until there are none. A loop, not a call back into `advance`: a thousand pipelined RCPTs must not nest.
    private func answer(_ first: Question, _ number: Int) async {
        var next: Question? = first
        while let question = next {
            switch question {
            case .intake(let step): await carryOut(step)
            case .etrn(let asked, let work): session.etrnAnswered(await work(), number: asked)
            }
            guard number == answering else { return }
            next = nextQuestion()
            if next != nil, !isClosed { setDeadline(for: session.waitsFor) }
        }
        isAsking = false
        settle()
    }

    /// Does the steps that need no waiting, and returns the first that does.
    private func nextQuestion() -> Question? {
        while !isOutputBlocked || isClosed, let step = session.next() {
            switch step {
            case .reply(let reply, let verb): send(reply, to: verb)
            case .close: close()
            case .abandon where writer == nil: continue
            case .etrn(let argument, let number):
                switch services.etrn?.answer(argument, from: connection.peer) ?? .now(SMTPSession.confused) {
                case .now(let reply): session.etrnAnswered(reply, number: number)
                case .later(let work): return .etrn(number: number, work)
                }
            case .abandon, .checkSender, .checkRecipient, .begin, .append, .commit: return .intake(step)
            }
        }
        return nil
    }

    private func send(_ reply: SMTPReply, to verb: SMTPVerb) {
        tell(.replied(to: verb, code: reply.code))
        guard !isClosed else { return }
        isOutputBlocked = !connection.write(reply.rendered)
    }

    private func close() {
        guard !isClosed else { return }
        // From here on the connection is its own: it reads and drops, and has a deadline for that.
        isLeaving = true
        pauseReading(false)
        connection.close(linger: limits.linger)
    }

    private func carryOut(_ step: SMTPStep) async {
        switch step {
        case .checkSender(let sender, let declaredSize):
            guard let intake = services.intake else { return session.answered(SMTPSession.confused) }
            session.answered(await intake.checkSender(sender, declaredSize: declaredSize, peer: connection.peer))
        case .checkRecipient(let recipient):
            session.answered(await verdict(on: recipient))
        case .begin(let envelope): await begin(envelope)
        case .append(let chunk): await append(chunk)
        case .commit: await commit()
        case .abandon:
            let writer = self.writer
            self.writer = nil
            await writer?.abandon()
        case .etrn, .reply, .close: return
        }
    }

    private func verdict(on recipient: SMTPPath) async -> SMTPReply? {
        guard let intake = services.intake, let envelope = session.transaction?.envelope else { return SMTPSession.confused }
        return await intake.checkRecipient(recipient, in: envelope)
    }

    private func begin(_ envelope: SMTPEnvelope) async {
        guard let intake = services.intake else { return session.answered(SMTPSession.confused) }
        do throws(SMTPReply) {
            writer = try await intake.begin(envelope)
            bytes = 0
            recipients = envelope.recipients.count
            contentStarted = loop.now
            session.answered(nil)
        } catch {
            session.answered(error)
        }
    }

    private func append(_ chunk: [UInt8]) async {
        do throws(SMTPReply) {
            try await writer?.append(chunk)
            bytes += chunk.count
            session.answered(nil)
        } catch {
            session.answered(error)
        }
    }

    private func commit() async {
        guard let writer else { return session.answered(SMTPSession.confused) }
        self.writer = nil
        do throws(SMTPReply) {
            let reply = try await writer.commit()
            if reply.isPositive { tell(.accepted(bytes: bytes, recipients: recipients)) }
            session.committed(reply)
        } catch {
            session.committed(error)
        }
    }

    // MARK: Clocks and back-pressure

    /// Brings reading and the deadline in line with what the session waits for.
    private func settle() {
        guard !isClosed else { return finishIfDone() }
        guard !isLeaving else { return }
        pauseReading(isAsking || isOutputBlocked)
        setDeadline(for: isOutputBlocked ? nil : session.waitsFor)
    }

    private func pauseReading(_ pause: Bool) {
        guard pause != isReadingPaused else { return }
        isReadingPaused = pause
        if pause { connection.pauseReading() } else { connection.resumeReading() }
    }

    /// - Parameter wait: nil for the client that does not read.
    private func setDeadline(for wait: SMTPWait?) {
        let wanted = wait.map(Clock.session) ?? .output
        // Only content moves its own deadline forward: each read does. A command line has its time from its beginning.
        guard wanted != clock || wait == .content else { return }
        clock = wanted
        let now = loop.now
        switch wait {
        case nil: connection.deadline = now + limits.commandTimeout
        case .command: connection.deadline = min(now + limits.commandTimeout, started + limits.sessionLimit)
        case .content: connection.deadline = min(now + limits.dataTimeout, (contentStarted ?? now) + limits.contentLimit)
        case .intake: connection.deadline = now + limits.intakeTimeout
        case .etrn: connection.deadline = now + limits.etrnTimeout
        case .nothing: connection.deadline = nil
        }
    }

    private func finishIfDone() {
        guard isClosed, !isAsking, !isFinished else { return }
        isFinished = true
        finished(self, ending)
    }
}
