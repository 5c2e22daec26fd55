// The daemon's life: stores, queue, core and front ends come up in this order, and go down in the other.

import Configuration
import DispatchSockets
import FlushCore
import FlushStorage
import Glibc
import Logging

/// Everything wired together.
struct Daemon {
    /// Threads for blocking disk work: as many messages are synced at once, and a disk syncs many in the time of one. They mostly sleep.
    private static let diskThreads = 24

    private let settings: Settings
    private let policy: DaemonPolicy
    private let logger = Logger(label: "etrnd")

    init(_ settings: Settings, _ policy: DaemonPolicy) {
        self.settings = settings
        self.policy = policy
    }

    /// Serves until a signal asks it to stop.
    func run() async throws {
        // A client that is gone must not end us; the write's error tells.
        signal(SIGPIPE, SIG_IGN)
        let files = (try? ProcessLimits.raiseOpenFiles()) ?? 0
        let loop = try await failing(.system) { () throws(SocketError) in try EventLoop(label: "etrnd") }
        let stop = StopSignal(on: loop)

        let directory = settings.text("state_directory")
        let pool = IOPool(label: "etrnd.disk", width: Self.diskThreads)
        // It looks around before anything is made: by the wrong user, that would lock out the right one.
        let postfix = settings.text("queue_engine") == "postfix" ? try await PostfixEngine(settings, loop: loop, pool: pool) : nil
        let database = try await failing(.storage) { () throws(StoreError) in try Database(directory: directory) }
        let logs = try await failing(.storage) { () throws(StoreError) in
            try DestinationLogs(stateDirectory: directory, pool: pool, logger: Logger(label: "flush"))
        }
        let relayDomains = RelayDomainDirectory()
        let engine: any Engine =
            if let postfix { postfix } else { try SpoolEngine(settings, policy, relayDomains: relayDomains, loop: loop, pool: pool) }
        for warning in engine.warnings { Console.tell("etrnd: warning: \(warning)") }
        let coreLogger = Logger(label: "flush")
        let core = FlushServer(
            policy: policy.flush, parameters: flushParameters, queue: engine.queue, logs: logs, history: database.flushHistory,
            relayDomains: database.relayDomains, directory: relayDomains, time: SystemTime(), executor: loop
        ) { failure in coreLogger.warning("behind the scenes", metadata: ["failure": "\(failure)"]) }

        // The spool routes by the relay domains, and the core follows the queue.
        try await failing(.storage) { () async throws(StoreError) in try await core.open() }
        try await engine.start(core)
        try await failing(.storage) { () async throws(StoreError) in try await core.start() }
        logger.info("started", metadata: ["engine": "\(settings.text("queue_engine"))", "open_files": "\(files)"])

        let serviceManager = ServiceManager(environment: ProcessEnvironment.variables)
        let frontEnds = FrontEnds(loop: loop, pool: pool, settings: settings, core: core, engine: engine, policy: policy)
        // Deliveries may run already: an address that is taken must not cut them off, or their mail would come again at each start.
        let failure: DaemonError?
        do throws(DaemonError) {
            try await frontEnds.listen()
            failure = nil
            await stop.ready()
            Console.tell("ready")
            serviceManager.ready()
            await loop.run { serviceManager.keepAlive(on: loop) }
            let received = await stop.wait()
            logger.info("stopping", metadata: ["signal": "\(received)"])
            serviceManager.stopping()
        } catch { failure = error }

        await core.endWaits()
        await frontEnds.stop(within: settings.duration("shutdown_timeout"))
        await engine.stop(within: settings.duration("shutdown_timeout"))
        await core.stop()
        do { try database.close() } catch { logger.warning("closing the database", metadata: ["failure": "\(error)"]) }
        stop.cancel()
        if let failure { throw failure }
        logger.info("stopped")
    }

    private var flushParameters: FlushServer.Parameters {
        var parameters = FlushServer.Parameters()
        parameters.probeMessages = settings.integer("flush_probe_messages")
        parameters.probeWait = settings.duration("flush_probe_wait")
        parameters.outcomeLimit = settings.duration("flush_outcome_limit")
        parameters.slowFlushInterval = settings.duration("slow_flush_interval")
        parameters.reconcileInterval = settings.duration("reconcile_interval")
        parameters.refreshTime = settings.duration("fast_flush_refresh_time")
        parameters.purgeTime = settings.duration("fast_flush_purge_time")
        return parameters
    }

    private func failing<T, E: Error>(_ exit: DaemonError.Exit, _ work: () async throws(E) -> T) async throws(DaemonError) -> T {
        do { return try await work() } catch { throw DaemonError("\(error)", exit) }
    }
}
