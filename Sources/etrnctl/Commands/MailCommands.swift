// etrnctl domains, domain, messages, message, remove, bounces: what waits.

import ArgumentParser
import CommandText
import FlushClient
import FlushCore
import FlushWire

struct DomainsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "domains", abstract: "List the destinations, with what waits for each.",
        usage: "etrnctl domains [--waiting] [--prefix <prefix>] [<options>]")

    @Flag(help: "Only those that mail waits for.")
    var waiting = false

    @Option(help: "Only names that begin with this.")
    var prefix: String?

    @OptionGroup var limit: LimitOption
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            let (domains, next) = try await collect(limit.limit) { (cursor, limit) throws(FlushClientError) in
                try await client.domains(prefix: prefix, waitingOnly: waiting, cursor: cursor, limit: limit)
            }
            if connection.output == .json { return showList("domains", domains, next: next) { $0.write(to: &$1) } }
            Console.show(MailText.domains(domains, at: currentTime(), width: Console.width, style: Console.style) + more(next, domains.count))
        }
    }
}

struct DomainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "domain", abstract: "Show a destination, with what waits for it and how long.", usage: "etrnctl domain <name> [<options>]")

    @Argument(help: "The domain.")
    var name: DomainArgument

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            guard let domain = try await client.domain(name.domain) else { throw unknownDomain(name.domain) }
            if connection.output == .json { return Console.show { domain.write(to: &$0) } }
            Console.show(MailText.domain(domain, at: currentTime(), style: Console.style))
        }
    }
}

struct MessagesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "messages", abstract: "List the messages that wait for a destination.", usage: "etrnctl messages <domain> [<options>]")

    @Argument(help: "The domain.")
    var domain: DomainArgument

    @OptionGroup var limit: LimitOption
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            guard try await client.domain(domain.domain) != nil else { throw unknownDomain(domain.domain) }
            let (messages, next) = try await collect(limit.limit) { (cursor, limit) throws(FlushClientError) in
                // One that has gone meanwhile has no messages.
                try await client.messages(for: domain.domain, cursor: cursor, limit: limit) ?? AnswerPage(items: [], next: nil)
            }
            if connection.output == .json { return showList("messages", messages, next: next) { $0.write(to: &$1, withHistory: false) } }
            Console.show(MailText.messages(messages, at: currentTime(), width: Console.width, style: Console.style) + more(next, messages.count))
        }
    }
}

struct MessageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "message", abstract: "Show a message, with what its attempts said.", usage: "etrnctl message <id> [<options>]")

    @Argument(help: "The queue ID.")
    var id: QueueIDArgument

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            let message = try await client.message(id.id)
            if connection.output == .json { return Console.show { message.write(to: &$0, withHistory: true) } }
            Console.show(MailText.message(message, at: currentTime(), style: Console.style))
        }
    }
}

struct RemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove a message without delivering it.", usage: "etrnctl remove <id> [<options>]",
        discussion: "Nobody gets a report.")

    @Argument(help: "The queue ID.")
    var id: QueueIDArgument

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            try await client.removeMessage(id.id)
            if connection.output == .text { Console.show(["\(id.id) is removed"]) }
        }
    }
}

struct BouncesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bounces", abstract: "List the kept reports of undeliverable mail, or show or drop one.",
        usage: "etrnctl bounces [<queue-id>] [--remove] [<options>]")

    @Argument(help: ArgumentHelp("Show this report.", valueName: "queue-id"))
    var id: QueueIDArgument?

    @Flag(help: "Drop it instead of showing it.")
    var remove = false

    @OptionGroup var limit: LimitOption
    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        if remove, id == nil { throw ValidationError("--remove needs the report's queue ID.") }
    }

    func run() async throws {
        try await connection.run { client in
            guard let id = id?.id else { return try await list(client) }
            let unknown = Failure(.data, "no kept report has the ID \(id)")
            if remove {
                guard try await client.removeBounce(id) else { throw unknown }
                if connection.output == .text { Console.show(["\(id) is dropped"]) }
                return
            }
            guard let report = try await client.bounce(id) else { throw unknown }
            if connection.output == .json { return Console.show { report.write(to: &$0) } }
            Console.show(
                (report.content ?? "").split(separator: "\n", omittingEmptySubsequences: false).map { line in
                    safe(String(line.last == "\r" ? line.dropLast() : line))
                })
        }
    }

    private func list(_ client: APIClient) async throws {
        let (reports, next) = try await collect(limit.limit) { (cursor, limit) throws(FlushClientError) in
            try await client.bounces(cursor: cursor, limit: limit)
        }
        if connection.output == .json { return showList("bounces", reports, next: next) { $0.write(to: &$1) } }
        Console.show(MailText.bounces(reports, at: currentTime(), width: Console.width, style: Console.style) + more(next, reports.count))
    }
}

private func unknownDomain(_ domain: DomainName) -> Failure {
    Failure(.data, "nothing waits for \(domain), and it is no flush domain: fast_flush_domains does not match it")
}
