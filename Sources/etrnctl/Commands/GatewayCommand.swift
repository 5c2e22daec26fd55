// etrnctl gateway: SMTP ETRN on this host for a daemon on another.

import ArgumentParser
import Configuration
import DispatchSockets
import ETRNGateway
import FlushClient
import FlushCore
import Glibc
import SMTPServer

struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Serve SMTP ETRN here for a daemon elsewhere.", usage: "etrnctl gateway --listen <address> ... [--server <url>] [<options>]",
        discussion: """
            Takes ETRN from clients that speak nothing else, and asks the daemon over HTTP. Takes no mail. Runs in the foreground; SIGTERM and \
            SIGINT stop it.
            """)

    @Option(help: ArgumentHelp("Listen here: address:port, [IPv6 address]:port or unix:/path; may be given several times.", valueName: "address"))
    var listen: [String]

    @Option(help: ArgumentHelp("The daemon. (default: as --url)", valueName: "url"))
    var server: String?

    @Option(help: ArgumentHelp("Who may ask.", valueName: "networks"))
    var networks = "127.0.0.0/8 [::1]"

    @Option(help: "Our name in the greeting.")
    var hostname = "localhost"

    @Option(help: ArgumentHelp("The reply when nothing waits: 251, or 253 as fetchmail likes it.", valueName: "code"))
    var emptyReply = "251"

    @Option(help: ArgumentHelp("What ETRN #name stands for, \"name = domain, @domain\"; may be given several times.", valueName: "queue"))
    var queue: [String] = []

    @OptionGroup var limits: GatewayLimits

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await exiting {
            let networks: NetworkList
            do { networks = try NetworkList(parsing: self.networks) } catch { throw Failure(.usage, "--networks: \(error)") }
            let parameters = try gatewayParameters()
            var chosen = connection
            if let server { chosen.url = server }

            let loop = try EventLoop(label: "gateway")
            let client = FlushClient(to: try chosen.server(), options: try chosen.clientOptions(), loop: loop)
            let gateway = ETRNGateway(service: client, parameters: parameters, time: WallTime()) { address in
                switch address {
                case .ipv4(let number, _): networks.contains(ipv4: number)
                case .ipv6(let number, _, _): networks.contains(ipv6: number)
                // Who may open a UNIX socket is the file's to say.
                case .unix: true
                }
            }
            let smtp = SMTPServer(loop: loop, hostname: hostname, limits: limits.ofSessions, intake: nil, etrn: gateway)
            let (signals, continuation) = AsyncStream.makeStream(of: CInt.self, bufferingPolicy: .bufferingNewest(1))
            let watch = SignalWatch([SIGTERM, SIGINT], on: loop) { continuation.yield($0) }
            do {
                for text in listen {
                    let address = try SocketAddress(parsing: text)
                    Console.put("listening smtp \(try await loop.run { try smtp.listen(at: address) })\n", to: STDERR_FILENO)
                }
                Console.put("ready\n", to: STDERR_FILENO)
                for await _ in signals { break }
            } catch {
                await smtp.stop(within: .zero)
                await client.shutdown()
                throw error
            }
            await smtp.stop(within: .seconds(5))
            await client.shutdown()
            watch.cancel()
        }
    }

    private func gatewayParameters() throws(Failure) -> ETRNGateway.Parameters {
        var parameters = ETRNGateway.Parameters()
        guard let empty = ETRNEmptyReply(rawValue: emptyReply) else { throw Failure(.usage, "--empty-reply is 251 or 253") }
        parameters.emptyReply = empty
        do { parameters.queues = try ETRNQueues(queue) } catch { throw Failure(.usage, "--queue: \(error)") }
        parameters.rateLimit = limits.rateLimit
        parameters.rateTimeUnit = limits.rateTimeUnit.duration
        return parameters
    }
}

/// How much and how long a client of the gateway may: defaults and ranges as the daemon's parameters have them.
struct GatewayLimits: ParsableArguments {
    @Option(help: ArgumentHelp("How many ETRN commands a client may send in a time unit; 0 sets no limit.", valueName: "count"))
    var rateLimit = 600

    @Option(help: ArgumentHelp("The time for which a client's commands are counted.", valueName: "time"))
    var rateTimeUnit = Seconds(60)

    @Option(help: ArgumentHelp("After how many errors a session is ended.", valueName: "count"))
    var errorLimit = 20

    @Option(help: ArgumentHelp("How many commands a client may send in a session.", valueName: "count"))
    var commandLimit = 100

    @Option(help: ArgumentHelp("How long to wait for a client's next command.", valueName: "time"))
    var idleTimeout = Seconds(300)

    @Option(help: ArgumentHelp("How many connections may be open.", valueName: "count"))
    var connectionLimit = 100

    @Option(help: ArgumentHelp("How many connections one client may have open.", valueName: "count"))
    var clientConnectionLimit = 50

    func validate() throws {
        try Self.check("--rate-limit", rateLimit, 0...1_000_000)
        try Self.check("--error-limit", errorLimit, 1...100_000)
        try Self.check("--command-limit", commandLimit, 1...1_000_000_000)
        try Self.check("--connection-limit", connectionLimit, 1...100_000)
        try Self.check("--client-connection-limit", clientConnectionLimit, 1...100_000)
        for (name, time) in [("--rate-time-unit", rateTimeUnit), ("--idle-timeout", idleTimeout)] {
            guard (.seconds(1) ... .seconds(86_400)).contains(time.duration) else { throw ValidationError("\(name) is 1s to 24h.") }
        }
    }

    var ofSessions: SMTPLimits {
        var limits = SMTPLimits()
        limits.maximumErrors = errorLimit
        limits.maximumCommands = commandLimit
        limits.commandTimeout = idleTimeout.duration
        limits.maximumConnections = connectionLimit
        limits.maximumConnectionsPerClient = clientConnectionLimit
        return limits
    }

    private static func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
        guard range.contains(value) else { throw ValidationError("\(name) is \(range.lowerBound) to \(range.upperBound).") }
    }
}

/// The clock on the wall, and sleep that no clock's jump cuts short.
private struct WallTime: TimeSource {
    var now: Timestamp { currentTime() }

    func sleep(for duration: Duration) async { try? await Task.sleep(for: duration) }
}
