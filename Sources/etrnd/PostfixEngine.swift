// A Postfix on this machine, wired: its queue, and the socket where its programs ask us in place of flush(8).

import Configuration
import DispatchSockets
import FlushCore
import Glibc
import Logging
import PostfixQueue
import SMTPServer
import Synchronization

/// The queue of the Postfix whose main.cf is in `postfix_config_directory`.
final class PostfixEngine: Engine {
    let queue: any MailQueue
    let warnings: [String]

    private let postfix: PostfixQueue
    private let mainCf: MainCf
    private let loop: EventLoop
    private let socket = Mutex<FlushSocket?>(nil)

    /// Reads main.cf; asks nobody else. A Postfix that is stopped is no error.
    init(_ settings: Settings, loop: EventLoop, pool: IOPool) async throws(DaemonError) {
        let directory = settings.text("postfix_config_directory")
        do throws(MainCfError) {
            mainCf = try await pool.run { () throws(MainCfError) in try MainCf.read(configurationDirectory: directory) }
        } catch { throw DaemonError("\(directory)/main.cf: \(error)", .configuration) }
        try PostfixSurroundings.check(mainCf, at: directory, stateDirectory: settings.text("state_directory"))
        warnings = PostfixSurroundings.warnings(mainCf, at: directory, log: settings.text("postfix_log"))
        let log = settings.text("postfix_log")
        postfix = PostfixQueue(
            layout: mainCf.layout, mailLog: log.isEmpty ? nil : log, loop: loop, pool: pool, time: SystemTime(), logger: Logger(label: "postfix"))
        queue = postfix
        self.loop = loop
    }

    var intake: (any MailIntake)? { nil }
    var bounces: (any BounceReports)? { nil }
    var usesMX: Bool { true }

    /// Follows the queue, then listens: what is deferred from now on is recorded, while the core reads what was deferred before.
    func start(_ core: FlushServer) async throws(DaemonError) {
        do { try await postfix.start() } catch { throw DaemonError("\(error)", .storage) }
        let socket = FlushSocket(path: mainCf.flushSocketPath, service: core, loop: loop, logger: Logger(label: "postfix"))
        do throws(SocketError) {
            try await loop.run { () throws(SocketError) in try socket.start() }
        } catch { throw DaemonError("Postfix's programs cannot reach us: \(error)", .unavailable) }
        self.socket.withLock { $0 = socket }
        Console.tell("listening postfix unix:\(socket.path)")
    }

    /// At once: who has asked is answered first, and what was released is Postfix's.
    func stop(within limit: Duration) async {
        await socket.withLock { $0 }?.stop()
        await postfix.stop()
    }

    /// Postfix reads the relay domains from the database when it needs them.
    func routesChanged() async {}

    func impediments() -> [String] {
        let problem = socket.withLock { $0 }?.problem
        return problem.map { ["Postfix's programs cannot reach us: \($0)"] } ?? []
    }
}
