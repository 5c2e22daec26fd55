// etrnctl status, policy, config: how the service is doing, and how it is set.

import ArgumentParser
import CommandText
import Configuration
import FlushClient
import FlushCore
import FlushWire
import Glibc

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how the service is doing.", usage: "etrnctl status [<options>]",
        discussion: "Exits with 75, and says what is missing, when the service is not ready to do its work.")

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            let status = try await client.status()
            let impediments = try await client.impediments()
            if connection.output == .json {
                Console.show { status.status.write(to: &$0, version: status.version, engine: status.engine) }
            } else {
                Console.show(ServiceText.status(status, at: currentTime(), style: Console.style))
            }
            guard impediments.isEmpty else { throw Failure(.temporary, impediments.map { "not ready: \($0)" }.joined(separator: "\n")) }
        }
    }
}

struct PolicyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Show the parameters that are in effect in the running daemon, and its warnings.",
        usage: "etrnctl policy [<options>]")

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await connection.run { client in
            let policy = try await client.policy()
            if connection.output == .json { return Console.show { policy.write(to: &$0) } }
            Console.show(ServiceText.policy(policy, style: Console.style))
        }
    }
}

struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Show parameters of a configuration file, as postconf does.",
        discussion: "Looks at the file and the environment, not at the running daemon; see policy for that.")

    @Option(help: "The configuration file. (default: \(Settings.defaultPath), if it is there)")
    var config: String?

    @Flag(name: .short, help: "Show the defaults instead.")
    var defaults = false

    @Flag(name: [.customShort("n")], help: "Show only what is set.")
    var nonDefault = false

    @Flag(name: [.customShort("x")], help: "Expand $name.")
    var expand = false

    @Argument(help: "Only these parameters.")
    var names: [String] = []

    func validate() throws {
        if defaults, nonDefault { throw ValidationError("-d and -n exclude each other.") }
    }

    func run() async throws {
        try await exiting {
            let settings: Settings
            do throws(ConfigurationError) {
                let path = config ?? (access(Settings.defaultPath, F_OK) == 0 ? Settings.defaultPath : nil)
                settings = try Settings.load(path: defaults ? nil : path, environment: defaults ? [:] : ProcessEnvironment.variables, overrides: [])
            } catch { throw Failure(.configuration, "\(error)") }
            for warning in settings.warnings { Console.complain("warning: \(warning)") }
            let wanted = settings.effective.filter { (names.isEmpty || names.contains($0.name)) && !(nonDefault && $0.isDefault) }
            Console.show(
                wanted.map { parameter in
                    let value = expand ? parameter.value : parameter.unexpanded
                    return value.isEmpty ? "\(parameter.name) =" : "\(parameter.name) = \(value)"
                })
            let known = Swift.Set(settings.effective.map(\.name))
            let unknown = names.filter { !known.contains($0) }
            guard unknown.isEmpty else { throw Failure(.data, unknown.map { "\($0): no such parameter" }.joined(separator: "\n")) }
        }
    }
}
