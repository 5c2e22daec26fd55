// etrnd doctor: why does ETRN not work?

import ArgumentParser
import Configuration
import Doctor

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Tell in plain words why ETRN does not work, and what to do.",
        discussion: """
            Looks at the configuration, at Postfix (with queue_engine = postfix), at the running daemon and, when a domain is named, at all \
            that decides whether its mail goes out. Prints a line for each thing it looked at: "ok", "warn", or "FAIL" with what is \
            wrong and what to do. Changes nothing. Run it as root or as the daemon's user; others are not shown everything.

            Exit status: 0 when nothing fails, 69 when something does, 78 when a configuration cannot be read.
            """)

    @OptionGroup var chosen: ConfigurationOptions

    @Argument(help: "The domain whose mail does not come; without it only the service is looked at.")
    var domain: String?

    func run() async throws {
        let report: Report
        do throws(ConfigurationError) {
            let settings = try chosen.settings()
            let policy = try DaemonPolicy(settings)
            report = await Doctor(settings, file: chosen.path, warnings: settings.warnings + policy.warnings).examine(domain: domain)
        } catch {
            report = Doctor.report(on: error)
        }
        print(report.lines.joined(separator: "\n"))
        if report.exit != .well { throw ExitCode(report.exit.rawValue) }
    }
}
