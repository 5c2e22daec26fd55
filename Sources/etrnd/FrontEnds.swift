// What listens: the HTTP API, and SMTP for ETRN and for the mail of an engine that takes some.

import Configuration
import ControlAPI
import DispatchSockets
import ETRNGateway
import FlushCore
import FlushWire
import Glibc
import HTTPServer
import Logging
import SMTPServer

/// The listeners, all on one loop.
struct FrontEnds: Sendable {
    private let loop: EventLoop
    private let settings: Settings
    private let http: HTTPServer
    private let smtp: SMTPServer
    private let hosts: HostNames

    init(loop: EventLoop, pool: IOPool, settings: Settings, core: FlushServer, engine: any Engine, policy: DaemonPolicy) {
        self.loop = loop
        self.settings = settings
        let hosts = HostNames(settings.list("http_host_names"))
        self.hosts = hosts

        let networks = settings.networks("http_trusted_networks")
        let access = AccessControl(ownUser: geteuid()) { networks.contains($0) }
        let facts = ControlAPI.Facts(
            version: Version.text, engine: settings.text("queue_engine"),
            policy: ServerPolicy(
                parameters: settings.effective.map { .init(name: $0.name, value: $0.value, source: $0.source) },
                warnings: settings.warnings + policy.warnings + engine.warnings),
            engineUsesMX: engine.usesMX)
        let disk = StateDisk(
            directory: settings.text("state_directory"), leastFree: engine.intake == nil ? 0 : settings.bytes("queue_minfree"), pool: pool)
        let api = ControlAPI(
            service: core, relayDomains: RelayDomainChanges(core: core, engine: engine), bounces: engine.bounces, access: access, facts: facts,
            impediments: { await core.impediments() + engine.impediments() + [disk.impediment()].compactMap(\.self) })
        let router = api.routes()

        var httpLimits = HTTPLimits()
        httpLimits.maximumConnections = settings.integer("http_connection_limit")
        httpLimits.idleTimeout = settings.duration("http_idle_timeout")
        http = HTTPServer(loop: loop, limits: httpLimits, hostIsAllowed: hosts.allows, respond: router.respond)

        var smtpLimits = SMTPLimits()
        smtpLimits.maximumMessageSize = settings.bytes("message_size_limit")
        smtpLimits.maximumRecipients = settings.integer("smtpd_recipient_limit")
        smtpLimits.maximumErrors = settings.integer("smtpd_hard_error_limit")
        smtpLimits.maximumCommands = settings.integer("smtpd_junk_command_limit")
        smtpLimits.commandTimeout = settings.duration("smtpd_timeout")
        smtpLimits.maximumConnections = settings.integer("smtp_connection_limit")
        smtpLimits.maximumConnectionsPerClient = settings.integer("smtpd_client_connection_count_limit")
        let logger = Logger(label: "smtp")
        let etrn = Self.gateway(settings, queues: policy.etrnQueues, core: core)
        smtp = SMTPServer(
            loop: loop, hostname: settings.text("myhostname"), limits: smtpLimits, intake: engine.intake, etrn: etrn
        ) { event in logger.debug("smtp", metadata: ["event": "\(event)"]) }
    }

    private static func gateway(_ settings: Settings, queues: ETRNQueues, core: FlushServer) -> ETRNGateway {
        var parameters = ETRNGateway.Parameters()
        parameters.emptyReply = ETRNEmptyReply(rawValue: settings.text("etrn_empty_reply")) ?? .noMessages
        parameters.queues = queues
        parameters.rateLimit = settings.integer("smtpd_client_etrn_rate_limit")
        parameters.rateTimeUnit = settings.duration("anvil_rate_time_unit")
        let networks = settings.networks("etrn_networks")
        return ETRNGateway(service: core, parameters: parameters, time: SystemTime()) { address in
            // Who may open a UNIX socket is the file's to say.
            address.isUnix || networks.contains(address)
        }
    }

    /// Begins to serve, and tells each address on standard error.
    ///
    /// - Throws: when an address cannot be had; those before it are served until `stop`.
    func listen() async throws(DaemonError) {
        let result = await withCheckedContinuation { (done: CheckedContinuation<Result<Void, DaemonError>, Never>) in
            loop.execute {
                do throws(DaemonError) { done.resume(returning: .success(try self.listenOnLoop())) } catch { done.resume(returning: .failure(error)) }
            }
        }
        try result.get()
    }

    private func listenOnLoop() throws(DaemonError) {
        try forEachAddress(of: "http_listen") { (address) throws(SocketError) in
            let listener = try http.listen(at: address)
            hosts.add(listener.address)
            Console.tell("listening http \(listener.address)")
        }
        try forEachAddress(of: "smtp_listen") { (address) throws(SocketError) in
            Console.tell("listening smtp \(try smtp.listen(at: address))")
        }
    }

    private func forEachAddress(of parameter: String, _ listen: (SocketAddress) throws(SocketError) -> Void) throws(DaemonError) {
        for text in settings.list(parameter) {
            do throws(SocketError) { try listen(SocketAddress(parsing: text)) } catch {
                throw DaemonError("\(parameter): \(error)", .unavailable)
            }
        }
    }

    func stop(within limit: Duration) async {
        async let smtpStopped: Void = smtp.stop(within: limit)
        async let httpStopped: Void = http.stop(within: limit)
        _ = await (smtpStopped, httpStopped)
    }
}
