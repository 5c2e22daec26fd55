// Which configuration a command works with: the options that all of them share.

import ArgumentParser
import Configuration
import Glibc

struct ConfigurationOptions: ParsableArguments {
    @Option(help: "The configuration file. (default: \(Settings.defaultPath), if it is there)")
    var config: String?

    @Option(name: .short, help: ArgumentHelp("Override a parameter; may be given several times.", valueName: "name=value"))
    var option: [String] = []

    /// The file that is read; nil when there is none.
    var path: String? { config ?? (access(Settings.defaultPath, F_OK) == 0 ? Settings.defaultPath : nil) }

    /// File, environment and overrides together.
    func settings() throws(ConfigurationError) -> Settings {
        var overrides: [(String, String)] = []
        for argument in option { overrides.append(try Settings.override(parsing: argument)) }
        return try Settings.load(path: path, environment: ProcessEnvironment.variables, overrides: overrides)
    }
}
