// Which server, as whom, how long: what all verbs share that ask one.

import ArgumentParser
import Configuration
import DispatchSockets
import FlushClient
import FlushCore
import Glibc

enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case text, json }

/// A time as the configuration has it: `30s`, `5m`, or a number of seconds.
struct Seconds: ExpressibleByArgument {
    var duration: Duration

    init(_ seconds: Int) { duration = .seconds(seconds) }

    init?(argument: String) {
        let units: [Character: Int] = ["s": 1, "m": 60, "h": 3_600]
        var digits = argument[...]
        var factor = 1
        if let last = digits.last, let unit = units[last] {
            factor = unit
            digits = digits.dropLast()
        }
        guard !digits.isEmpty, digits.utf8.count <= 6, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(digits) else {
            return nil
        }
        duration = .seconds(number * factor)
    }

    var defaultValueDescription: String { "\(duration.components.seconds)s" }
}

struct ConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The daemon: http://host:port, https://host or unix:/path. (default: ETRND_URL, else the local socket)", valueName: "url")
    )
    var url: String?

    @Option(help: ArgumentHelp("A file with an access token in its first line. (default: ETRND_TOKEN_FILE)", valueName: "file"))
    var tokenFile: String?

    @Option(help: ArgumentHelp("The certificates to trust, as PEM. (default: the system's)", valueName: "file"))
    var caFile: String?

    @Option(help: ArgumentHelp("How long to wait for an answer: 30s, 5m.", valueName: "time"))
    var timeout = Seconds(30)

    @Option(name: [.short, .long], help: "How to print the answer.")
    var output = OutputFormat.text

    /// Runs `body` with a client, and turns what goes wrong into a line and an exit status.
    func run(_ body: (APIClient) async throws -> Void) async throws {
        try await exiting {
            let loop = try EventLoop(label: "etrnctl")
            let client = APIClient(to: try server(), options: try clientOptions(), loop: loop)
            do {
                try await body(client)
                await client.shutdown()
            } catch {
                await client.shutdown()
                throw error
            }
        }
    }

    func clientOptions() throws -> FlushClientOptions {
        var options = FlushClientOptions()
        options.timeout = timeout.duration
        options.connectTimeout = min(options.connectTimeout, timeout.duration)
        options.userAgent = "etrnctl/\(Etrnctl.configuration.version)"
        if let caFile {
            // libcurl would blame the server for it.
            guard access(caFile, R_OK) == 0 else { throw Failure(.configuration, "\(caFile): \(String(cString: strerror(errno)))") }
            options.certificateFile = caFile
        }
        if let file = tokenFile ?? ProcessEnvironment.variables["ETRND_TOKEN_FILE"] {
            do { options.token = try AccessToken(file: file) } catch { throw Failure(.configuration, "\(error)") }
        }
        return options
    }

    func server() throws -> ServerAddress {
        if let url {
            do { return try ServerAddress(parsing: url) } catch { throw Failure(.usage, "--url: \(error)") }
        }
        if let url = ProcessEnvironment.variables["ETRND_URL"], !url.isEmpty {
            do { return try ServerAddress(parsing: url) } catch { throw Failure(.configuration, "ETRND_URL: \(error)") }
        }
        // The socket that a daemon with this configuration listens on.
        do {
            let path = access(Settings.defaultPath, R_OK) == 0 ? Settings.defaultPath : nil
            let settings = try Settings.load(path: path, environment: ProcessEnvironment.variables, overrides: [])
            guard let socket = settings.list("http_listen").first(where: { $0.hasPrefix("unix:") }) else {
                throw Failure(.configuration, "http_listen has no UNIX socket: name a server with --url or ETRND_URL")
            }
            return try ServerAddress(parsing: socket)
        } catch let failure as Failure { throw failure } catch { throw Failure(.configuration, "\(error)") }
    }
}

/// Runs a verb; complains and ends with the right status when it fails.
func exiting(_ body: () async throws -> Void) async throws {
    do {
        do { try await body() } catch let error as FlushClientError { throw Failure(error) } catch let error as ETRNSendError {
            throw Failure(error)
        } catch let error as SocketError { throw Failure(.unavailable, "\(error)") }
    } catch let failure as Failure {
        if !failure.text.isEmpty { for line in failure.text.split(separator: "\n") { Console.complain(String(line)) } }
        throw ExitCode(failure.status.rawValue)
    }
}

/// The clock on the wall.
func currentTime() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
}
