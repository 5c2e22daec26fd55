// The daemon's life: stores, queue, core and front ends come up in this order, and go down in the other.

import Configuration
import ControlAPI
import CurlTransport
import DispatchSockets
import FlushCore
import FlushStorage
import Glibc
import HTTPServer
import Logging
import SMTPServer
import SpoolQueue

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
        let database = try await failing(.storage) { () throws(StoreError) in try Database(directory: directory) }
        let logs = try await failing(.storage) { () throws(StoreError) in
            try DestinationLogs(stateDirectory: directory, pool: pool, logger: Logger(label: "flush"))
        }
        let relayDomains = RelayDomainDirectory()
        let curl = CurlMulti(
            loop: loop, maximumTransfers: spoolParameters.deliveryConcurrency, maximumCachedConnections: spoolParameters.deliveryConcurrency)
        let spool = try await failing(.storage) { () throws(SpoolError) in
            try SpoolQueue(
                path: "\(directory)/spool", parameters: spoolParameters,
                routes: RelayRoutes(directory: relayDomains, relayDomains: policy.flush.relayDomains),
                client: DeliveryClient(curl: curl), loop: loop, pool: pool, time: SystemTime(), logger: Logger(label: "spool"))
        }
        let coreLogger = Logger(label: "flush")
        let core = FlushServer(
            policy: policy.flush, parameters: flushParameters, queue: spool, logs: logs, history: database.flushHistory,
            relayDomains: database.relayDomains, directory: relayDomains, time: SystemTime(), executor: loop
        ) { failure in coreLogger.warning("behind the scenes", metadata: ["failure": "\(failure)"]) }

        // The spool routes by the relay domains, and the core follows the spool.
        try await failing(.storage) { () async throws(StoreError) in try await core.open() }
        let found = try await failing(.storage) { () async throws(SpoolError) in try await spool.start() }
        try await failing(.storage) { () async throws(StoreError) in try await core.start() }
        logger.info("ready to serve", metadata: ["messages": "\(found.messages)", "open_files": "\(files)"])

        let frontEnds = FrontEnds(loop: loop, settings: settings, core: core, spool: spool, warnings: policy.warnings)
        // Deliveries may run already: an address that is taken must not cut them off, or their mail would come again at each start.
        let failure: DaemonError?
        do throws(DaemonError) {
            try await frontEnds.listen()
            failure = nil
            await stop.ready()
            Console.tell("ready")
            let received = await stop.wait()
            logger.info("stopping", metadata: ["signal": "\(received)"])
        } catch { failure = error }

        await core.endWaits()
        await frontEnds.stop(within: settings.duration("shutdown_timeout"))
        await spool.stop(within: settings.duration("shutdown_timeout"))
        await core.stop()
        await curl.shutdown()
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

    private var spoolParameters: SpoolParameters {
        var parameters = SpoolParameters(myhostname: settings.text("myhostname"))
        parameters.relayhost = policy.relayhost
        parameters.hopcountLimit = settings.integer("hopcount_limit")
        parameters.queueMinfree = settings.bytes("queue_minfree")
        parameters.messageSizeLimit = settings.bytes("message_size_limit")
        parameters.deliveryConcurrency = settings.integer("delivery_concurrency")
        parameters.minimalBackoffTime = settings.duration("minimal_backoff_time")
        parameters.maximalBackoffTime = settings.duration("maximal_backoff_time")
        parameters.queueRunDelay = settings.duration("queue_run_delay")
        parameters.maximalQueueLifetime = settings.duration("maximal_queue_lifetime")
        return parameters
    }

    private func failing<T, E: Error>(_ exit: DaemonError.Exit, _ work: () async throws(E) -> T) async throws(DaemonError) -> T {
        do { return try await work() } catch { throw DaemonError("\(error)", exit) }
    }
}
