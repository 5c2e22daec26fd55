// etrnctl relay-domain: provisioning.

import ArgumentParser
import CommandText
import FlushClient
import FlushCore
import FlushWire

struct RelayDomainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay-domain", abstract: "List, set and remove the domains that mail is taken for.",
        subcommands: [List.self, Show.self, Set.self, Remove.self, Apply.self], aliases: ["relay-domains"])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the relay domains.", usage: "etrnctl relay-domain list [<options>]")

        @OptionGroup var limit: LimitOption
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.run { client in
                let (found, next) = try await collect(limit.limit) { (cursor, limit) throws(FlushClientError) in
                    try await client.relayDomains(cursor: cursor, limit: limit)
                }
                if connection.output == .json { return showList("relay_domains", found, next: next) { $0.write(to: &$1) } }
                Console.show(ServiceText.relayDomains(found, width: Console.width, style: Console.style) + more(next, found.count))
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a relay domain.", usage: "etrnctl relay-domain show <domain> [<options>]")

        @Argument(help: "The domain.")
        var domain: DomainArgument

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.run { client in
                guard let found = try await client.relayDomain(domain.domain) else { throw Failure(.data, "\(domain.domain) is no relay domain") }
                if connection.output == .json { return Console.show { found.write(to: &$0) } }
                Console.show(ServiceText.relayDomain(found, style: Console.style))
            }
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Create a relay domain, or change it.", usage: "etrnctl relay-domain set <domain> [--next-hop <next-hop>] [<options>]",
            discussion: "What is not given stays as it is, or is the default of a new one.")

        @Argument(help: "The domain.")
        var domain: DomainArgument

        @Option(help: ArgumentHelp("Where its mail goes: [host]:port. A new one needs it.", valueName: "next-hop"))
        var nextHop: String?

        @Option(help: "normal: tried at once; etrn-only: waits until somebody asks.")
        var delivery: RelayDomain.Delivery?

        @Option(help: "draining: no new mail is taken.")
        var state: RelayDomain.State?

        @Option(help: "Words of your own.")
        var comment: String?

        @Option(help: "Who provisions it.")
        var owner: String?

        @OptionGroup var connection: ConnectionOptions

        func validate() throws {
            if let nextHop {
                do { _ = try NextHop(parsing: nextHop) } catch { throw ValidationError("--next-hop: \(error).") }
            }
        }

        func run() async throws {
            try await connection.run { client in
                let current = try await client.relayDomain(domain.domain)
                let hop = try nextHop.map { (text) throws(InvalidNextHop) in try NextHop(parsing: text) } ?? current?.nextHop
                guard let hop else { throw Failure(.usage, "\(domain.domain) is new: it needs --next-hop") }
                let draft = RelayDomainDraft(
                    nextHop: hop, delivery: delivery ?? current?.delivery ?? .normal, state: state ?? current?.state ?? .active,
                    comment: comment ?? current?.comment ?? "", owner: owner ?? current?.owner ?? "")
                // What was read is what is changed: somebody else's change in between is not lost.
                let condition = current.map { VersionCondition.oneOf([$0.tag]) } ?? .absent
                let (changed, isNew) = try await client.putRelayDomain(draft, for: domain.domain, if: [condition])
                if connection.output == .json { return Console.show { changed.write(to: &$0) } }
                let word = isNew ? "created" : changed == current ? "unchanged" : "changed"
                Console.show(["\(domain.domain): \(word), version \(changed.version)"])
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a relay domain.", usage: "etrnctl relay-domain remove <domain> [--force] [<options>]",
            discussion: "Refused while mail waits for it: set its state to draining and flush it first.")

        @Argument(help: "The domain.")
        var domain: DomainArgument

        @Flag(help: "Remove it although mail waits for it. The mail stays queued and cannot be routed.")
        var force = false

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.run { client in
                guard try await client.removeRelayDomain(domain.domain, force: force) else {
                    throw Failure(.data, "\(domain.domain) is no relay domain")
                }
                if connection.output == .text { Console.show(["\(domain.domain): removed"]) }
            }
        }
    }

    struct Apply: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an owner's relay domains exactly those of a file.",
            usage: "etrnctl relay-domain apply <file> --owner <owner> [<options>]",
            discussion: """
                The file is JSON: {"relay_domains": [{"domain": "customer.example", "next_hop": "[192.0.2.1]:25", "delivery": "etrn-only"}]}. \
                All or nothing; relay domains of other owners stay.
                """)

        @Argument(help: "The file; - is standard input.")
        var file: String

        @Option(help: "Whose relay domains these are.")
        var owner: String

        @Flag(help: "Tell the difference, and change nothing.")
        var dryRun = false

        @Option(help: ArgumentHelp("Refuse to remove more than this many.", valueName: "number"))
        var maxDelete: Int?

        @OptionGroup var connection: ConnectionOptions

        func validate() throws {
            if let maxDelete, maxDelete < 0 { throw ValidationError("--max-delete is a number from 0.") }
            guard (1...RelayDomainDraft.maximumOwnerLength).contains(owner.utf8.count) else {
                throw ValidationError("--owner has 1 to \(RelayDomainDraft.maximumOwnerLength) bytes.")
            }
        }

        /// What the API takes in one request.
        private static let maximumFileSize = 1 << 20
        private static let maximumCount = 10_000

        func run() async throws {
            try await connection.run { client in
                let difference = try await client.replaceRelayDomains(
                    Dictionary(uniqueKeysWithValues: try drafts()), owner: owner, maximumRemovals: maxDelete, dryRun: dryRun)
                if connection.output == .json { return Console.show { difference.write(to: &$0, dryRun: dryRun) } }
                Console.show(ServiceText.difference(difference, dryRun: dryRun, style: Console.style))
            }
        }

        private func drafts() throws -> [(DomainName, RelayDomainDraft)] {
            let text: String
            do { text = try TextFile.read(file, limit: Self.maximumFileSize) } catch { throw Failure(.data, "\(error)") }
            guard let json = JSONValue(parsing: Array(text.utf8)) else { throw Failure(.data, "\(file): no JSON document") }
            do { return try RelayDomainDraft.list(json: json, maximumCount: Self.maximumCount) } catch {
                throw Failure(.data, error.faults.map { "\(file): \($0.pointer): \($0.detail)" }.joined(separator: "\n"))
            }
        }
    }
}
