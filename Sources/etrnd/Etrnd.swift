// The command: read the configuration, run the daemon, say why not.

import ArgumentParser
import Configuration
import FlushCore
import Glibc
import Logging

@main
struct Etrnd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "etrnd",
        abstract: "A fast ETRN service: delivers a site's waiting mail when the site asks.",
        discussion: """
            Runs in the foreground and logs to standard error; SIGTERM and SIGINT stop it gracefully. Parameters are described in \
            etrnd.cf(5); an environment variable ETRND_NAME and -o name=value override the file.
            """,
        version: Version.text)

    @Option(help: "The configuration file. (default: \(Settings.defaultPath), if it is there)")
    var config: String?

    @Option(name: .short, help: ArgumentHelp("Override a parameter; may be given several times.", valueName: "name=value"))
    var option: [String] = []

    @Flag(help: "Check the configuration, and exit.")
    var checkConfig = false

    func run() async throws {
        let settings = try loadSettings()
        for warning in settings.warnings { Console.tell("etrnd: warning: \(warning)") }
        let policy: DaemonPolicy
        do { policy = try DaemonPolicy(settings) } catch { throw fail(error, .configuration) }
        for warning in policy.warnings { Console.tell("etrnd: warning: \(warning)") }
        if checkConfig { return Console.tell("etrnd: the configuration is good") }

        let level = Logger.Level(rawValue: settings.text("log_level")) ?? .info
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
        do {
            try await Daemon(settings, policy).run()
        } catch let error as DaemonError {
            throw fail(error, error.exit)
        }
    }

    private func loadSettings() throws -> Settings {
        do throws(ConfigurationError) {
            var overrides: [(String, String)] = []
            for argument in option { overrides.append(try Settings.override(parsing: argument)) }
            let path = config ?? (access(Settings.defaultPath, F_OK) == 0 ? Settings.defaultPath : nil)
            return try Settings.load(path: path, environment: Console.environment, overrides: overrides)
        } catch {
            throw fail(error, .configuration)
        }
    }

    private func fail(_ error: any Error, _ status: DaemonError.Exit) -> ExitCode {
        for line in "\(error)".split(separator: "\n") { Console.tell("etrnd: \(line)") }
        return ExitCode(status.rawValue)
    }
}

enum Version {
    static let text = "0.1.0"
}
