// The embedded spool, wired.

import Configuration
import CurlTransport
import DispatchSockets
import FlushCore
import Logging
import SMTPServer
import SpoolQueue

/// The spool below the state directory, and libcurl to deliver what is in it.
struct SpoolEngine: Engine {
    private let spool: SpoolQueue
    private let curl: CurlMulti
    private let logger = Logger(label: "spool")

    init(_ settings: Settings, _ policy: DaemonPolicy, relayDomains: RelayDomainDirectory, loop: EventLoop, pool: IOPool) throws(DaemonError) {
        let parameters = Self.parameters(settings, policy)
        curl = CurlMulti(loop: loop, maximumTransfers: parameters.deliveryConcurrency, maximumCachedConnections: parameters.deliveryConcurrency)
        do throws(SpoolError) {
            spool = try SpoolQueue(
                path: "\(settings.text("state_directory"))/spool", parameters: parameters,
                routes: RelayRoutes(directory: relayDomains, relayDomains: policy.flush.relayDomains),
                client: DeliveryClient(curl: curl), loop: loop, pool: pool, time: SystemTime(), logger: logger)
        } catch { throw DaemonError("\(error)", .storage) }
    }

    var queue: any MailQueue { spool }
    var intake: (any MailIntake)? { spool.intake }
    var bounces: (any BounceReports)? { spool }
    var usesMX: Bool { false }
    var warnings: [String] { [] }

    func start(_ core: FlushServer) async throws(DaemonError) {
        // The core's first scan reads what waits.
        do { try await spool.begin() } catch { throw DaemonError("\(error)", .storage) }
    }

    func stop(within limit: Duration) async {
        await spool.stop(within: limit)
        await curl.shutdown()
    }

    func routesChanged() async { await spool.routesChanged() }

    func impediments() -> [String] { [] }

    private static func parameters(_ settings: Settings, _ policy: DaemonPolicy) -> SpoolParameters {
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
}
