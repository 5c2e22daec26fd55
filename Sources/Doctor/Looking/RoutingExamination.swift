// Asks Postfix's tables for the domain.

import Configuration
import FlushCore
import PostfixQueue

/// Looks the domain up in `relay_domains` and `transport_maps`, in the order in which Postfix does. Blocks, every wait bounded.
struct RoutingExamination {
    /// A list file larger than this is a mistake.
    private static let maximumListFile = 16 << 20
    /// Further tables are not asked: each may take as long as a command may.
    private static let maximumTables = 8

    let mainCf: MainCf
    let directory: String
    /// A `proxy:` table has a server; without it one waits in vain.
    let isPostfixRunning: Bool

    func look(at domain: DomainName) -> PostfixRouting {
        PostfixRouting(relayDomains: listed(domain), transport: route(of: domain))
    }

    // MARK: relay_domains

    private func listed(_ domain: DomainName) -> PostfixRouting.Listed {
        let items: [String]
        do { items = try ListSyntax.split(mainCf["relay_domains"] ?? "") } catch { return .unknown("\(error)") }
        let isParentMode = (mainCf["parent_domain_matches_subdomains"] ?? "").split { $0 == "," || $0.isWhitespace }.contains("relay_domains")
        var tables = 0
        for item in items {
            let pattern = item.drop { $0 == "!" }
            let isNegated = (item.count - pattern.count) % 2 == 1
            let verdict: PostfixRouting.Listed
            if pattern.contains(":"), !pattern.hasPrefix("[") {
                tables += 1
                guard tables <= Self.maximumTables else { return .unknown("it has more than \(Self.maximumTables) tables") }
                // A table is asked for parents without a dot, or with one, as the list has it.
                verdict = found(String(pattern), [domain.description] + parents(of: domain).map { isParentMode ? $0 : ".\($0)" })
            } else {
                verdict = matches(String(pattern), domain, isParentMode ? .parentDomains : .exact)
            }
            switch verdict {
            case .yes: return isNegated ? .no : .yes(by: item)
            case .no: continue
            case .unknown: return verdict
            }
        }
        return .no
    }

    private func matches(_ pattern: String, _ domain: DomainName, _ mode: DomainList.Mode) -> PostfixRouting.Listed {
        let list = DomainList(parsing: pattern, mode: mode) { (path) throws(DomainList.UnreadableFile) in
            do { return try FileReader.text(of: path, limit: Self.maximumListFile) } catch { throw .init(reason: "\(error)") }
        }
        return switch list.match(domain, store: { _ in false }) {
        case .yes: .yes(by: pattern)
        case .no: .no
        case .failure(let reason): .unknown(reason)
        }
    }

    private func found(_ table: String, _ keys: [String]) -> PostfixRouting.Listed {
        guard canAsk(table) else { return .unknown("\(table) is asked through proxymap(8), which is there while Postfix runs") }
        do throws(MainCfError) {
            return try PostfixTable.lookUp(keys, in: table, configurationDirectory: directory) == nil ? .no : .yes(by: table)
        } catch { return .unknown("\(error)") }
    }

    // MARK: transport_maps

    /// transport(5): the domain, its parents with a leading dot, and `*` at last; each key in all tables before the next one.
    private func route(of domain: DomainName) -> PostfixRouting.Route {
        let tables: [String]
        do { tables = try ListSyntax.split(mainCf["transport_maps"] ?? "") } catch { return .unknown("\(error)") }
        guard tables.count <= Self.maximumTables else { return .unknown("it has more than \(Self.maximumTables) tables") }
        let keys = [domain.description] + parents(of: domain).map { ".\($0)" } + ["*"]
        var best: (place: Int, route: PostfixRouting.Route)?
        for table in tables {
            guard canAsk(table) else { return .unknown("\(table) is asked through proxymap(8), which is there while Postfix runs") }
            do throws(MainCfError) {
                guard let row = try PostfixTable.lookUp(keys, in: table, configurationDirectory: directory),
                    let place = keys.firstIndex(of: row.key), place < best?.place ?? .max
                else { continue }
                best = (place, .row(table: table, key: row.key, value: row.value))
            } catch { return .unknown("\(error)") }
        }
        return best?.route ?? .none
    }

    private func canAsk(_ table: String) -> Bool { isPostfixRunning || !table.hasPrefix("proxy:") }

    private func parents(of domain: DomainName) -> [String] {
        var parents: [String] = []
        var next = domain.parent
        while let parent = next {
            parents.append(parent.description)
            next = parent.parent
        }
        return parents
    }
}
