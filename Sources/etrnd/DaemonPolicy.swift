// From settings to what the core decides by: lists read, next hop checked.

import Configuration
import ETRNGateway
import FlushCore

/// The parts of the configuration that can still be wrong after each value by itself is right.
struct DaemonPolicy: Sendable {
    /// A list file larger than this is a mistake: a hundred thousand domains have room in it.
    static let maximumListFile = 16 << 20

    var flush: FlushPolicy
    var etrnQueues: ETRNQueues
    var relayhost: NextHop?
    var warnings: [String]

    init(_ settings: Settings) throws(ConfigurationError) {
        let parents = Set(settings.list("parent_domain_matches_subdomains"))
        func list(_ name: String) -> DomainList {
            DomainList(parsing: settings.text(name), mode: parents.contains(name) ? .parentDomains : .exact, readFile: Self.readFile)
        }
        let fast = list("fast_flush_domains")
        let relay = list("relay_domains")
        flush = FlushPolicy(
            fastFlushDomains: fast, relayDomains: relay, slowFlush: FlushPolicy.SlowFlush(rawValue: settings.text("slow_flush")) ?? .permit)
        warnings = fast.warnings.map { "fast_flush_domains: \($0)" } + relay.warnings.map { "relay_domains: \($0)" }

        do throws(InvalidETRNQueue) { etrnQueues = try ETRNQueues(settings.list("etrn_queues")) } catch {
            throw ConfigurationError([settings.problem("etrn_queues", "\(error)")])
        }

        let text = settings.text("relayhost")
        guard !text.isEmpty else { return }
        let nextHop: NextHop
        do { nextHop = try NextHop(parsing: text) } catch { throw ConfigurationError([settings.problem("relayhost", "\(error)")]) }
        guard !nextHop.usesMX else {
            let advice = "without brackets means MX lookup, which the spool has not; write [\(nextHop.host)]:\(nextHop.port)"
            throw ConfigurationError([settings.problem("relayhost", "'\(text)' \(advice)")])
        }
        relayhost = nextHop
    }

    private static func readFile(_ path: String) throws(DomainList.UnreadableFile) -> String {
        do { return try FileReader.text(of: path, limit: maximumListFile) } catch { throw .init(reason: "\(error)") }
    }
}
