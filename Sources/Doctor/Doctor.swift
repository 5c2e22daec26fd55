// Examines a service from outside: gathers facts, and says what they mean.

import Configuration
import DispatchSockets
import FlushClient
import FlushCore
import PostfixQueue

/// Explains in plain words why ETRN does not work. Looks only, and changes nothing.
public struct Doctor: Sendable {
    /// Looking blocks, one thing after the other.
    private static let threads = 1

    private let settings: Settings
    private let file: String?
    private let warnings: [String]

    /// - Parameters:
    ///   - file: the configuration file that was read, for the report; nil when there was none.
    ///   - warnings: what is odd about the configuration.
    public init(_ settings: Settings, file: String?, warnings: [String]) {
        self.settings = settings
        self.file = file
        self.warnings = warnings
    }

    /// What is said when there is no configuration to go by.
    public static func report(on error: ConfigurationError) -> Report {
        Report(
            error.problems.map { .failure("configuration", "\($0)", advice: "mend that, then try etrnd --check-config") },
            isConfigurationUnreadable: true)
    }

    /// Looks at everything that decides about ETRN, and with a domain at all that decides about its mail. Takes seconds, at worst a minute.
    public func examine(domain: String?) async -> Report {
        let facts: Facts
        do throws(SocketError) { facts = try await gather(domain) } catch {
            return Report([.failure("system", "\(error)", advice: "give this process more descriptors (ulimit -n), then run it again")])
        }
        return Report(Diagnosis.findings(facts), isConfigurationUnreadable: facts.postfixProblem != nil)
    }

    private func gather(_ text: String?) async throws(SocketError) -> Facts {
        let loop = try EventLoop(label: "doctor")
        let pool = IOPool(label: "doctor.look", width: Self.threads)
        let name = text.map(DomainExamination.name)
        let domain: DomainName? = if case .good(let domain)? = name { domain } else { nil }
        let service = ServiceExamination(settings: settings)

        var facts = Facts(
            configurationFile: file, configurationWarnings: warnings, engine: settings.text("queue_engine"), doctor: Accounts.own,
            state: await pool.run { service.state() }, disks: [], daemon: DaemonFacts(doors: []))
        let mainCf: MainCf?
        do throws(MainCfError) { mainCf = try await readMainCf(pool) } catch {
            mainCf = nil
            facts.postfixProblem = "\(error)"
        }
        if let examination = mainCf.map(postfixExamination) { facts.postfix = await pool.run { examination.look() } }
        if facts.postfixProblem == nil { facts.disks = await pool.run { service.disks(mainCf) } }

        let examination = DaemonExamination(
            loop: loop, pool: pool, addresses: settings.list("http_listen"), smtpAddresses: settings.list("smtp_listen"))
        let (daemon, record) = await examination.look { client in
            guard let domain else { return nil }
            return await DomainExamination(client: client, domain: domain).look()
        }
        facts.daemon = daemon
        if let name { facts.domain = await look(at: name, record, facts.postfix, pool) }
        await loop.run { loop.shutdown() }
        return facts
    }

    /// Nil with the spool engine, which has none.
    private func readMainCf(_ pool: IOPool) async throws(MainCfError) -> MainCf? {
        guard settings.text("queue_engine") == "postfix" else { return nil }
        let directory = settings.text("postfix_config_directory")
        return try await pool.run { () throws(MainCfError) in try MainCf.read(configurationDirectory: directory) }
    }

    private func postfixExamination(_ mainCf: MainCf) -> PostfixExamination {
        PostfixExamination(directory: settings.text("postfix_config_directory"), log: settings.text("postfix_log"), mainCf: mainCf)
    }

    private func look(
        at name: DomainFacts.Name, _ record: DomainFacts.Record?, _ postfix: PostfixFacts?, _ pool: IOPool
    ) async -> DomainFacts {
        var facts = DomainFacts(name: name, record: record)
        guard case .good(let domain) = name else { return facts }
        if let postfix {
            let isRunning = postfix.manager.answer == .taken
            let examination = RoutingExamination(mainCf: postfix.mainCf, directory: postfix.configurationDirectory, isPostfixRunning: isRunning)
            facts.routing = await pool.run { examination.look(at: domain) }
        }
        if let nextHop = record?.relayDomain?.nextHop ?? facts.routing?.nextHop {
            facts.nextHop = await pool.run { NextHopExamination(nextHop: nextHop).look() }
        }
        return facts
    }
}

extension PostfixRouting {
    /// Where Postfix goes, when its table says so in a form that can be tried.
    fileprivate var nextHop: NextHop? {
        guard case .row(_, _, let value) = transport, let colon = value.firstIndex(of: ":") else { return nil }
        return try? NextHop(parsing: String(value[value.index(after: colon)...]))
    }
}
