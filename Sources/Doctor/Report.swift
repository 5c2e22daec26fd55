// Everything the doctor found, as text for people and as an exit status for scripts.

/// The findings in the order in which they were looked for: what comes first may be the cause of what comes later.
public struct Report: Equatable, Sendable {
    /// What sysexits(3) calls the report's three outcomes.
    public enum Exit: Int32, Sendable {
        case well = 0
        case unavailable = 69
        case configuration = 78
    }

    public var findings: [Finding]
    /// A configuration could not be read, ours or Postfix's: little else could be looked at.
    public var isConfigurationUnreadable: Bool

    public init(_ findings: [Finding], isConfigurationUnreadable: Bool = false) {
        self.findings = findings
        self.isConfigurationUnreadable = isConfigurationUnreadable
    }

    public var exit: Exit {
        if isConfigurationUnreadable { return .configuration }
        return findings.contains { $0.level == .failure } ? .unavailable : .well
    }

    /// A line for each finding, and a closing one.
    public var lines: [String] { findings.map(Self.line) + [closing] }

    private static func line(_ finding: Finding) -> String {
        let word =
            switch finding.level {
            case .ok: "ok   "
            case .warning: "warn "
            case .failure: "FAIL "
            }
        let advice = finding.advice.map { "; to do: \($0)" } ?? ""
        return "\(word) \(printable(finding.subject)): \(printable(finding.text + advice))"
    }

    private var closing: String {
        let failures = findings.count { $0.level == .failure }
        let warnings = findings.count { $0.level == .warning }
        let looked = Self.count(findings.count, "thing")
        guard failures > 0 else {
            guard warnings > 0 else { return "All is well: \(looked) looked at." }
            return "Nothing fails; \(Self.count(warnings, "warning")) among \(looked) looked at."
        }
        let rest = warnings > 0 ? ", \(Self.count(warnings, "warning"))" : ""
        let hint = failures > 1 ? "; begin with the first, it may be the cause of the others" : ""
        return "\(Self.count(failures, "failure"))\(rest) among \(looked) looked at\(hint)."
    }

    private static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    /// Longer texts, of a foreign server for instance, are cut: a finding is a line.
    private static let maximumLength = 1_000

    /// Text from elsewhere must neither break the line nor move a terminal's cursor.
    private static func printable(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(maximumLength) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: result.append(" ")
            default: result.unicodeScalars.append(scalar)
            }
        }
        return text.unicodeScalars.count > maximumLength ? result + "…" : result
    }
}
