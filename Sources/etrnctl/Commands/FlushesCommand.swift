// etrnctl flushes, cancel: flushes that were asked for.

import ArgumentParser
import CommandText
import FlushClient
import FlushCore
import FlushWire

/// How many entries a list shows.
struct LimitOption: ParsableArguments {
    @Option(help: "At most this many entries.")
    var limit = 100

    func validate() throws {
        guard (1...1_000_000).contains(limit) else { throw ValidationError("--limit is a number from 1 to 1000000.") }
    }
}

struct FlushesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flushes", abstract: "List the flushes, newest first.",
        usage: "etrnctl flushes [--domain <domain>] [--state <state>] [<options>]")

    @Option(help: "Only those that asked for this domain.")
    var domain: DomainArgument?

    @Option(help: "Only those in this state.")
    var state: Flush.State?

    @OptionGroup var limit: LimitOption
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            let (flushes, next) = try await collect(limit.limit) { (cursor, limit) throws(FlushClientError) in
                try await client.flushes(domain: domain?.domain, state: state, cursor: cursor, limit: limit)
            }
            if connection.output == .json { return showList("flushes", flushes, next: next) { $0.write(to: &$1) } }
            Console.show(FlushText.list(flushes, at: currentTime(), width: Console.width, style: Console.style) + more(next, flushes.count))
        }
    }
}

struct CancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Cancel a flush.", usage: "etrnctl cancel <id> [<options>]",
        discussion: "What is not released yet stays queued.")

    @Argument(help: "The flush's ID.")
    var id: FlushIDArgument

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            guard let flush = try await client.cancelFlush(id.id) else {
                throw Failure(.data, "no flush has the ID \(id.id), or it is so old that it is forgotten")
            }
            if connection.output == .json { return Console.show { flush.write(to: &$0) } }
            Console.show(FlushText.result(flush, style: Console.style))
        }
    }
}
