// One life of the daemon in the world of the core: server, index and log files, between a start and a stop or a crash.

import FlushCore
import FlushStorage
import FlushTesting
import Logging

/// A process, with all that dies with it.
// @unchecked: the simulation has one thread.
final class CoreProcess: @unchecked Sendable {
    static let logFolder = "flush"

    let time: SimulatedTime
    let queue: SimulatedQueue
    let history: InMemoryFlushHistoryStore
    let server: FlushServer
    /// Requests that have no answer yet.
    private(set) var openRequests = 0
    var flushes: [FlushID] = []
    private let trace: Trace

    /// - Parameter history: what the last process has left.
    init(_ machine: Machine, truth: QueueTruth, policy: FlushPolicy, history kept: [Flush]) throws(StoreError) {
        time = SimulatedTime(machine.clock)
        let worker = SimulatedWorker(scheduler: machine.scheduler)
        queue = SimulatedQueue(truth: truth, worker: worker)
        history = InMemoryFlushHistoryStore(kept)
        let logs = try DestinationLogs(
            path: "/\(Self.logFolder)", disk: machine.disk.boot(), worker: worker,
            logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() })
        var parameters = FlushServer.Parameters()
        parameters.probeMessages = machine.chance(3)
        parameters.probeWait = .seconds(3)
        parameters.outcomeLimit = .seconds(12)
        parameters.slowFlushInterval = .seconds(5)
        parameters.reconcileInterval = .seconds(8)
        parameters.refreshTime = .seconds(10)
        parameters.purgeTime = .seconds(20)
        let trace = machine.trace
        self.trace = trace
        server = FlushServer(
            policy: policy, parameters: parameters, queue: queue, logs: logs, history: history, relayDomains: InMemoryRelayDomainStore(), time: time,
            executor: machine.scheduler, report: { trace.note("trouble", "\($0)") })
        truth.follower = queue
        let server = server
        Task { do { try await server.start() } catch { trace.note("no start", "\(error)") } }
    }

    /// Asks for something, and counts the answer.
    func ask(_ body: @escaping @Sendable (FlushServer) async throws -> Void) {
        openRequests += 1
        Task {
            do { try await body(server) } catch { trace.note("refused", "\(error)") }
            openRequests -= 1
        }
    }

    /// The process has crashed: what its tasks still do reaches nobody.
    func bury(in machine: Machine) throws(Violation) {
        history.failure = .unavailable("the process is dead")
        queue.end()
        let server = server
        Task {
            await server.endWaits()
            await server.stop()
        }
        try machine.end(time)
    }

    /// Stops as a signal would make it.
    func stop(in machine: Machine) throws(Violation) {
        let server = server
        Task {
            await server.endWaits()
            await server.stop()
        }
        try machine.pass(.seconds(1), of: time)
        guard !machine.disk.hasCrashed else { return try bury(in: machine) }
        history.failure = .unavailable("the process has ended")
        queue.end()
        try machine.end(time)
    }
}

extension Machine {
    /// Runs a process that has ended until nothing of it is left.
    fileprivate func end(_ time: SimulatedTime) throws(Violation) {
        _ = scheduler.run(atMost: 20)
        time.end()
        try bury()
    }
}
