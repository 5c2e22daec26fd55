// What every parameter is, once file, environment and flags have been read.

/// The effective configuration. Every value in it has been checked.
public struct Settings: Sendable {
    public static let defaultPath = "/etc/etrnd.cf"
    /// Before the parameter's name in upper case, in the environment.
    public static let environmentPrefix = "ETRND_"

    private let values: [String: ParameterValue]
    private let sources: [String: SettingSource]
    /// Every parameter, in the order of the table.
    public let effective: [EffectiveParameter]
    /// What is odd but stops nothing, each with its place.
    public let warnings: [String]

    /// Puts a configuration together: what the file says, over it the environment, over that the flags; `$name` is expanded afterwards.
    ///
    /// - Parameters:
    ///   - path: the name of the file in messages; nil when there is none.
    ///   - environment: all of it; only `ETRND_` names are looked at.
    ///   - overrides: names and values of flags, the last one for a name wins.
    /// - Throws: everything that is wrong, at once.
    public init(file path: String?, text: String, environment: [String: String], overrides: [(String, String)]) throws(ConfigurationError) {
        try self.init(
            file: path, text: text, environment: environment, overrides: overrides, table: ParameterTable.all, machineName: MachineName.current)
    }

    /// Reads the file at `path`, or none when it is nil, and puts a configuration together as `init` does.
    public static func load(path: String?, environment: [String: String], overrides: [(String, String)]) throws(ConfigurationError) -> Settings {
        let text = if let path { try FileReader.text(of: path, limit: LogicalLines.maximumFileSize) } else { "" }
        return try Settings(file: path, text: text, environment: environment, overrides: overrides)
    }

    /// Takes the argument of `-o name=value` apart.
    public static func override(parsing argument: String) throws(ConfigurationError) -> (String, String) {
        let lines = LogicalLines(String(decoding: Array(argument.utf8)[...].trimmed, as: UTF8.self))
        guard lines.problems.isEmpty, lines.assignments.count == 1, let found = lines.assignments.first else {
            throw ConfigurationError([.init(file: SettingSource.commandLine.description, text: "\(quoted(argument)) is not of the form name=value")])
        }
        return (found.name, found.value)
    }

    init(
        file path: String?, text: String, environment: [String: String], overrides: [(String, String)], table: [Parameter], machineName: String
    ) throws(ConfigurationError) {
        var reading = SettingSources(table: table)
        reading.read(file: path ?? "configuration", text)
        reading.read(environment: environment)
        reading.read(overrides: overrides)

        var texts = reading.given.mapValues(\.value)
        texts[ParameterTable.machineName] = machineName
        var expansion = Expansion(texts)
        var values: [String: ParameterValue] = [:]
        var effective: [EffectiveParameter] = []
        var problems = reading.problems
        var problemsOfDefaults: [ConfigurationError.Problem] = []
        for parameter in table {
            guard let given = reading.given[parameter.name] else { continue }
            let text: String
            let value: ParameterValue
            do throws(Expansion.Failure) {
                (text, value) = try Self.understand(parameter, &expansion)
            } catch {
                guard let reason = reading.reason(for: error, in: parameter.name) else { continue }
                let problem = given.source.problem("bad value of \(parameter.name): \(reason)")
                if given.source == .standard { problemsOfDefaults.append(problem) } else { problems.append(problem) }
                continue
            }
            values[parameter.name] = value
            effective.append(EffectiveParameter(name: parameter.name, value: text, given: given))
        }
        self.values = values
        self.effective = effective
        sources = reading.given.mapValues(\.source)
        warnings = reading.warnings

        // A default is bad only because of a name in it; when something else is bad too, that is the cause.
        if problems.isEmpty { problems = problemsOfDefaults }
        if problems.isEmpty { problems = contradictions }
        guard problems.isEmpty else { throw ConfigurationError(problems) }
    }

    private static func understand(
        _ parameter: Parameter, _ expansion: inout Expansion
    ) throws(Expansion.Failure) -> (String, ParameterValue) {
        let text = try expansion.value(of: parameter.name)
        do { return (text, try ParameterValue(text, as: parameter.kind)) } catch { throw .here(error.text) }
    }

    /// Values that are good alone and bad together.
    private var contradictions: [ConfigurationError.Problem] {
        let (least, most) = ("minimal_backoff_time", "maximal_backoff_time")
        guard case .duration(let shortest)? = values[least], case .duration(let longest)? = values[most], shortest > longest else { return [] }
        return [problem(sources[most] == .standard ? least : most, "\(least) is longer than \(most)")]
    }
}

// Asking for a name that the table has not, or for another kind of value than it says, is a mistake of ours and traps.
extension Settings {
    /// The expanded text of a parameter of any kind. Domain lists, which have a grammar of their own, are taken like this.
    public func text(_ name: String) -> String {
        guard let parameter = effective.first(where: { $0.name == name }) else { preconditionFailure("\(name) is no parameter") }
        return parameter.value
    }

    /// The items of a list, of words or addresses too.
    public func list(_ name: String) -> [String] {
        guard case .list(let value)? = values[name] else { preconditionFailure("\(name) is no list parameter") }
        return value
    }

    public func boolean(_ name: String) -> Bool {
        guard case .boolean(let value)? = values[name] else { preconditionFailure("\(name) is no boolean parameter") }
        return value
    }

    public func integer(_ name: String) -> Int {
        guard case .integer(let value)? = values[name] else { preconditionFailure("\(name) is no integer parameter") }
        return value
    }

    /// A number of bytes.
    public func bytes(_ name: String) -> Int { integer(name) }

    public func duration(_ name: String) -> Duration {
        guard case .duration(let value)? = values[name] else { preconditionFailure("\(name) is no time parameter") }
        return value
    }

    public func networks(_ name: String) -> NetworkList {
        guard case .networks(let value)? = values[name] else { preconditionFailure("\(name) is no network parameter") }
        return value
    }

    /// What to complain of when the user of a value finds it bad: the place where it was set, and `text`.
    public func problem(_ name: String, _ text: String) -> ConfigurationError.Problem {
        guard let source = sources[name] else { preconditionFailure("\(name) is no parameter") }
        return source.problem("bad value of \(name): \(text)")
    }
}
