// Commands for mail servers: libcurl opens the session, the dialogue is ours.

import CCurl
import DispatchSockets

/// Sends SMTP commands that carry no mail, a connection for each request.
///
/// libcurl can send a command by itself (`CURLOPT_CUSTOMREQUEST`), but it says QUIT afterwards and waits for the answer in a blocking loop:
/// for a server that refused within the transfer, for one that agreed when its connection is closed; as long as the server likes, up to two
/// minutes (7.88.1, measured). So libcurl opens the session, as it does for mail.
// @unchecked: all state is touched only on `loop`; `perform` and `shutdown` go there first.
public final class CurlSMTP: @unchecked Sendable {
    /// More sessions than this at once end as `.noResources`.
    public static let maximumSessions = 200

    private let loop: EventLoop
    private var driver: CurlDriver?
    private var running: [ObjectIdentifier: CommandSession] = [:]
    private var isClosed = false

    public init(loop: EventLoop) { self.loop = loop }

    /// Sends the commands and returns what was answered; never throws, because half an answer is one too.
    ///
    /// Cancelling the task ends it at once: the server may have carried out all commands that had been sent.
    public func perform(_ request: CurlSMTPRequest) async -> CurlSMTPAnswer {
        if let defect = request.defect { return CurlSMTPAnswer(ending: .invalid(defect)) }
        let session = CommandSession(request, loop: loop)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                loop.execute { [self] in begin(session) { continuation.resume(returning: $0) } }
            }
        } onCancel: {
            loop.execute { session.end(.cancelled) }
        }
    }

    /// Ends all sessions as `.cancelled`. New ones end at once. Must be called before the last reference goes.
    public func shutdown() async {
        await withCheckedContinuation { continuation in
            loop.execute { [self] in
                isClosed = true
                for session in Array(running.values) { session.end(.cancelled) }
                driver?.close()
                driver = nil
                continuation.resume()
            }
        }
    }

    private func begin(_ session: CommandSession, _ completion: @escaping (CurlSMTPAnswer) -> Void) {
        if isClosed || session.hasEnded { return completion(CurlSMTPAnswer(ending: .cancelled)) }
        guard running.count < Self.maximumSessions else {
            return completion(CurlSMTPAnswer(ending: .noResources("\(Self.maximumSessions) sessions are open already")))
        }
        guard let driver = driver ?? makeDriver() else {
            return completion(CurlSMTPAnswer(ending: .noResources("libcurl has no memory")))
        }
        running[ObjectIdentifier(session)] = session
        session.start(with: driver) { [self, unowned session] answer in
            running[ObjectIdentifier(session)] = nil
            completion(answer)
        }
    }

    private func makeDriver() -> CurlDriver? {
        let made = CurlDriver(loop: loop, maximumConnections: Self.maximumSessions)
        made?.socketWasClosed = { [unowned self] socket in
            // From within libcurl: a session that it still believes in must hear of it, but later. Whose socket it was is known only now:
            // its number may be another connection's by then.
            let gone = running.values.filter { $0.socket == socket }
            guard !gone.isEmpty else { return }
            for session in gone { session.stopWatching() }
            loop.execute {
                for session in gone { session.end(.lost) }
            }
        }
        driver = made
        return made
    }
}
