// One life of the daemon in the world of the spool.

import DispatchSockets
import FlushCore
import FlushStorage
import FlushTesting
import Logging
import SMTPServer
import SpoolQueue

/// A process, with all that dies with it.
// @unchecked: the simulation has one thread.
final class SpoolProcess: @unchecked Sendable {
    static let spoolFolder = "spool"

    let time: SimulatedTime
    let queue: SpoolQueue
    let history: InMemoryFlushHistoryStore
    let server: FlushServer
    private(set) var isAlive = true
    /// The spool has been read and mail may come.
    private(set) var isReady = false
    private(set) var failedToStart: String?
    private(set) var openRequests = 0
    var flushes: [FlushID] = []
    private let machine: Machine

    init(_ machine: Machine, sites: Sites, ledger: Ledger, parameters: SpoolParameters, history kept: [Flush]) throws {
        self.machine = machine
        let time = SimulatedTime(machine.clock)
        self.time = time
        let worker = SimulatedWorker(scheduler: machine.scheduler)
        let mount = machine.disk.boot()
        let logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
        let life = Life()
        queue = try SpoolQueue(
            path: "/\(Self.spoolFolder)", on: mount, parameters: parameters, routes: sites, executor: machine.scheduler, pool: worker, time: time,
            logger: logger, random: SeededRandom(seed: machine.nextRandom()), intakeMemory: 200,
            deliver: { delivery in
                guard let process = life.process else {
                    return DeliveryResult(outcomes: delivery.recipients.map { _ in .deferred(reason: "") }, siteReached: false)
                }
                return await sites.deliver(delivery, for: process)
            })
        let logs = try DestinationLogs(path: "/\(CoreProcess.logFolder)", disk: mount, worker: worker, logger: logger)
        history = InMemoryFlushHistoryStore(kept)
        var flushing = FlushServer.Parameters()
        flushing.probeMessages = machine.chance(3)
        flushing.probeWait = .seconds(3)
        flushing.outcomeLimit = .seconds(8)
        flushing.slowFlushInterval = .seconds(5)
        flushing.reconcileInterval = .seconds(15)
        let list = DomainList(parsing: "branch.example, ship.example, office.example", mode: .exact) { path throws(DomainList.UnreadableFile) in
            throw .init(reason: "no \(path)")
        }
        let trace = machine.trace
        server = FlushServer(
            policy: FlushPolicy(fastFlushDomains: list, relayDomains: list, slowFlush: .permit), parameters: flushing,
            queue: WatchedQueue(queue, ledger: ledger, disk: machine.disk), logs: logs, history: history,
            relayDomains: InMemoryRelayDomainStore(), time: time,
            executor: machine.scheduler, report: { trace.note("trouble", "\($0)") })
        life.process = self
        Task { await start() }
    }

    /// The way from a spool to its process, which is made after it.
    // @unchecked: the simulation has one thread.
    private final class Life: @unchecked Sendable { weak var process: SpoolProcess? }

    private func start() async {
        do {
            let report = try await queue.start()
            machine.trace.note("started", report.messages, report.interrupted, report.abandoned, text: "\(report)")
            try await server.start()
            isReady = isAlive && !machine.disk.hasCrashed
        } catch { failedToStart = "\(error)" }
    }

    func ask(_ body: @escaping @Sendable (FlushServer) async throws -> Void) {
        openRequests += 1
        Task {
            do { try await body(server) } catch { machine.trace.note("refused", "\(error)") }
            openRequests -= 1
        }
    }

    /// A client sends a message.
    func send(_ mail: Mail, to ledger: Ledger) {
        let recipients = mail.recipients.compactMap { SMTPPath($0) }
        let sender = mail.sender.isEmpty ? SMTPPath.null : SMTPPath(mail.sender) ?? .null
        let envelope = SMTPEnvelope(
            sender: sender, declaredSize: nil, recipients: recipients, peer: Peer(address: .ipv4(0xc000_0201, port: 4_711)), helo: "client.example")
        openRequests += 1
        Task {
            do {
                let writer = try await queue.intake.begin(envelope)
                do {
                    for start in stride(from: 0, to: mail.content.count, by: 150) {
                        try await writer.append(Array(mail.content[start..<min(start + 150, mail.content.count)]))
                    }
                } catch {
                    await writer.abandon()
                    throw error
                }
                let reply = try await writer.commit()
                // What a process says after its death nobody hears.
                if isAlive, !machine.disk.hasCrashed {
                    machine.trace.note("accepted", mail.number, text: "\(reply)")
                    ledger.change(mail.number) { mail in
                        mail.isAccepted = true
                        mail.id = reply.lines.first?.split(separator: " ").last.map(String.init)
                    }
                }
            } catch { machine.trace.note("refused", mail.number, text: "\(error)") }
            openRequests -= 1
        }
    }

    // MARK: The end

    func bury() throws(Violation) {
        isAlive = false
        history.failure = .unavailable("the process is dead")
        try leave()
    }

    private func leave() throws(Violation) {
        Task {
            await server.endWaits()
            await queue.stop(within: .zero)
            await server.stop()
        }
        _ = machine.scheduler.run(atMost: 30)
        time.end()
        try machine.bury()
    }

    /// Stops as a signal would make it.
    func stop() throws(Violation) {
        Task {
            await server.endWaits()
            await queue.stop(within: .seconds(1))
            await server.stop()
        }
        try machine.pass(.seconds(2), of: time)
        isAlive = false
        history.failure = .unavailable("the process has ended")
        time.end()
        try machine.bury()
    }
}
