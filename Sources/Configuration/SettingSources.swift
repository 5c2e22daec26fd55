// Gathers what file, environment and flags say, before anything is expanded.

/// Where a value comes from.
enum SettingSource: Equatable {
    case standard
    case file(String, line: Int)
    case environment(String)
    case commandLine

    var description: String {
        switch self {
        case .standard: "default"
        case .file(let path, let line): "\(path):\(line)"
        case .environment(let variable): "environment \(variable)"
        case .commandLine: "command line"
        }
    }

    func problem(_ text: String) -> ConfigurationError.Problem {
        if case .file(let path, let line) = self { return .init(file: path, line: line, text: text) }
        return .init(file: description, text: text)
    }
}

/// The unexpanded value that each parameter has in the end, and what was wrong on the way there.
struct SettingSources {
    struct Given {
        var value: String
        var source: SettingSource
    }

    /// Variables of the client program, which share the prefix.
    private static let clientVariables: Set<String> = ["ETRND_URL", "ETRND_TOKEN_FILE"]

    /// Further ones are dropped: they are all alike by then.
    private static let maximumWarnings = 50

    private(set) var given: [String: Given]
    private(set) var problems: [ConfigurationError.Problem] = []
    private(set) var warnings: [String] = []
    private let names: [String]

    /// Every parameter of `table` begins with its default.
    init(table: [Parameter]) {
        names = table.map(\.name)
        given = Dictionary(uniqueKeysWithValues: table.map { ($0.name, Given(value: $0.defaultValue, source: .standard)) })
    }

    mutating func read(file path: String, _ text: String) {
        let lines = LogicalLines(text)
        for problem in lines.problems { problems.append(.init(file: path, line: problem.line, text: problem.text)) }
        for assignment in lines.assignments {
            let source = SettingSource.file(path, line: assignment.line)
            if case .file(_, let earlier)? = given[assignment.name]?.source {
                warn("\(source.description): '\(assignment.name)' overrides the entry of line \(earlier)")
            }
            set(assignment.name, to: assignment.value, source)
        }
    }

    /// A variable with our prefix that names no parameter is only warned of: others put such names there too, container platforms for
    /// instance a service's host and port.
    mutating func read(environment: [String: String]) {
        for (variable, value) in environment.sorted(by: { $0.key < $1.key }) {
            guard variable.hasPrefix(Settings.environmentPrefix), !Self.clientVariables.contains(variable) else { continue }
            let name = variable.dropFirst(Settings.environmentPrefix.count).lowercased()
            let source = SettingSource.environment(variable)
            guard variable == Settings.environmentPrefix + name.uppercased(), given[name] != nil else {
                let hint = nearestName(to: name, among: names).map { "; did you mean '\(Settings.environmentPrefix)\($0.uppercased())'?" } ?? ""
                warn("environment: the variable \(quoted(variable)) names no parameter\(hint)")
                continue
            }
            set(name, toUnchecked: value, source)
        }
    }

    mutating func read(overrides: [(String, String)]) {
        for (name, value) in overrides { set(name, toUnchecked: value, .commandLine) }
    }

    /// As `set`, for a value that has not been through `LogicalLines`.
    private mutating func set(_ name: String, toUnchecked value: String, _ source: SettingSource) {
        guard value.utf8.count <= LogicalLines.maximumLineLength else {
            problems.append(source.problem("the value of \(quoted(name)) is longer than \(LogicalLines.maximumLineLength) bytes"))
            return
        }
        guard !value.utf8.contains(where: { $0 == 0x7F || $0 < 0x20 && !isSpace($0) }) else {
            problems.append(source.problem("a control character in the value of \(quoted(name))"))
            return
        }
        set(name, to: String(decoding: Array(value.utf8)[...].trimmed, as: UTF8.self), source)
    }

    private mutating func set(_ name: String, to value: String, _ source: SettingSource) {
        guard given[name] != nil else {
            problems.append(source.problem(unknown(name)))
            return
        }
        given[name] = Given(value: value, source: source)
    }

    private mutating func warn(_ text: String) {
        if warnings.count < Self.maximumWarnings { warnings.append(text) }
    }

    private func unknown(_ name: String) -> String {
        // What will not be listed needs no hint: a file may have a hundred thousand such lines.
        let hint = problems.count < ConfigurationError.maximumProblems ? nearestName(to: name, among: names) : nil
        return "unknown parameter \(quoted(name))" + (hint.map { "; did you mean '\($0)'?" } ?? "")
    }

    /// What to say of a value that cannot be expanded; nil when that is said of another parameter.
    func reason(for failure: Expansion.Failure, in name: String) -> String? {
        switch failure {
        case .here(let reason): return reason
        case .elsewhere: return nil
        case .loop(let names):
            // A default alone makes no circle: the first one that somebody has set is to be mended.
            guard let culprit = names.filter({ given[$0]?.source != .standard }).min(), culprit == name,
                let start = names.firstIndex(of: culprit)
            else { return nil }
            let circle = names[start...] + names[..<start] + [culprit]
            return "the value refers to itself: \(circle.joined(separator: " -> "))"
        }
    }
}
