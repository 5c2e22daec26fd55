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

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await exiting {
            let networks: NetworkList
            do { networks = try NetworkList(parsing: self.networks) } catch { throw Failure(.usage, "--networks: \(error)") }
            var parameters = ETRNGateway.Parameters()
            guard let empty = ETRNEmptyReply(rawValue: emptyReply) else { throw Failure(.usage, "--empty-reply is 251 or 253") }
            parameters.emptyReply = empty
            do { parameters.queues = try ETRNQueues(queue) } catch { throw Failure(.usage, "--queue: \(error)") }
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
            let smtp = SMTPServer(loop: loop, hostname: hostname, intake: nil, etrn: gateway)
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
}

/// The clock on the wall, and sleep that no clock's jump cuts short.
private struct WallTime: TimeSource {
    var now: Timestamp { currentTime() }

    func sleep(for duration: Duration) async { try? await Task.sleep(for: duration) }
}
