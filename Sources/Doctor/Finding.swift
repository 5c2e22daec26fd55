// What the doctor says of one thing it has looked at.

/// One line of the report.
public struct Finding: Equatable, Sendable {
    public enum Level: Int, Comparable, Sendable {
        case ok
        /// Works, but not as its operator may believe.
        case warning
        /// ETRN does not work, for the domain or for all.
        case failure

        public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    public var level: Level
    /// What was looked at: a parameter, a file, a part of the service.
    public var subject: String
    /// How it is, or what is wrong.
    public var text: String
    /// What to do about it; names the parameter, the file or the command.
    public var advice: String?

    public static func ok(_ subject: String, _ text: String) -> Finding { Finding(level: .ok, subject: subject, text: text) }

    public static func warning(_ subject: String, _ text: String, advice: String) -> Finding {
        Finding(level: .warning, subject: subject, text: text, advice: advice)
    }

    public static func failure(_ subject: String, _ text: String, advice: String) -> Finding {
        Finding(level: .failure, subject: subject, text: text, advice: advice)
    }
}
