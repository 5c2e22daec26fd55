// The command: read the configuration, run the daemon, say why not.

import ArgumentParser
import Configuration
import FlushCore
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
        version: Version.text,
        subcommands: [DoctorCommand.self])

    @OptionGroup var chosen: ConfigurationOptions

    @Flag(help: "Check the configuration, and exit.")
    var checkConfig = false

    func run() async throws {
        let settings: Settings
        let policy: DaemonPolicy
        do throws(ConfigurationError) {
            settings = try chosen.settings()
            for warning in settings.warnings { Console.tell("etrnd: warning: \(warning)") }
            policy = try DaemonPolicy(settings)
        } catch { throw fail(error, .configuration) }
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

    private func fail(_ error: any Error, _ status: DaemonError.Exit) -> ExitCode {
        for line in "\(error)".split(separator: "\n") { Console.tell("etrnd: \(line)") }
        return ExitCode(status.rawValue)
    }
}

enum Version {
    static let text = "0.1.0"
}
