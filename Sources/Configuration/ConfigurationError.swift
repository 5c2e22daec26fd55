// Why a configuration is not accepted, place by place.

/// Everything that is wrong with a configuration; one line for each problem.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One thing to mend.
    public struct Problem: Equatable, Sendable, CustomStringConvertible {
        /// Where it is: a file's path, `environment ETRND_X`, `command line`, `default`.
        public var file: String
        /// The line where the parameter begins, counted from 1; nil where there are no lines.
        public var line: Int?
        public var text: String

        public init(file: String, line: Int? = nil, text: String) {
            self.file = file
            self.line = line
            self.text = text
        }

        public var description: String { line.map { "\(file):\($0): \(text)" } ?? "\(file): \(text)" }
    }

    /// More are not listed: a file that is no configuration at all has as many as it has lines.
    public static let maximumProblems = 50

    /// Never empty; at most `maximumProblems` and one that says how many were left out.
    public let problems: [Problem]

    public init(_ problems: [Problem]) {
        precondition(!problems.isEmpty, "an error without a problem")
        // In the order of the lines; what has no line follows, as it came.
        let problems = problems.enumerated().sorted { ($0.element.line ?? .max, $0.offset) < ($1.element.line ?? .max, $1.offset) }.map(\.element)
        guard problems.count > Self.maximumProblems, let first = problems.first else {
            self.problems = problems
            return
        }
        let rest = Problem(file: first.file, text: "\(problems.count - Self.maximumProblems) more problems")
        self.problems = problems.prefix(Self.maximumProblems) + [rest]
    }

    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// Why one value is bad, without its place.
struct InvalidValue: Error, Equatable {
    let text: String

    init(_ text: String) { self.text = text }
}

/// Text from outside in quotes, cut and without control characters, so that it can stand in an error.
func quoted(_ text: some StringProtocol) -> String {
    let limit = 100
    var result = "'"
    for (count, scalar) in text.unicodeScalars.enumerated() {
        guard count < limit else {
            result += "…"
            break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: result += scalar.escaped(asASCII: true)
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "'"
}
