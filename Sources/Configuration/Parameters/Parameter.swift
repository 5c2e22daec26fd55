// What is known of one parameter before anybody has set it.

/// One parameter of `etrnd.cf`.
public struct Parameter: Sendable {
    public let name: String
    public let kind: ParameterKind
    /// As it would stand in the file: `$name` unexpanded.
    public let defaultValue: String
    /// One sentence, for the manual page and for listings.
    public let summary: String

    init(_ name: String, _ kind: ParameterKind, _ defaultValue: String, _ summary: String) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.summary = summary
    }
}

/// Which values a parameter takes.
public enum ParameterKind: Sendable {
    /// Any text; whoever uses it checks it (`Settings.error(_:_:)` names the place).
    case text
    /// Items between commas or white space, `{…}` holding together what is one item.
    case list
    /// A list of some of these words.
    case words([String])
    /// An absolute path; empty stands for none, unless it is `required`.
    case path(required: Bool)
    /// `yes` or `no`.
    case boolean
    case integer(ClosedRange<Int>)
    /// A number of bytes, with `k`, `m` or `g` behind it for the powers of 1024.
    case bytes(ClosedRange<Int>)
    /// A number with its unit; without one it counts in `unit`. `seconds` bounds it.
    case duration(unit: DurationUnit, seconds: ClosedRange<Int>)
    /// One of these words.
    case choice([String])
    /// A host name as HELO takes it.
    case hostName
    /// Where to listen: `127.0.0.1:8025`, `[::1]:8025`, `unix:/path`. `required`: at least one.
    case addresses(required: Bool)
    /// Networks as in Postfix's `mynetworks`.
    case networks
}

/// The units of Postfix's times.
public enum DurationUnit: Int, Sendable, CaseIterable {
    case seconds = 1
    case minutes = 60
    case hours = 3600
    case days = 86400
    case weeks = 604800

    /// The letter behind the number.
    var letter: UInt8 {
        switch self {
        case .seconds: UInt8(ascii: "s")
        case .minutes: UInt8(ascii: "m")
        case .hours: UInt8(ascii: "h")
        case .days: UInt8(ascii: "d")
        case .weeks: UInt8(ascii: "w")
        }
    }
}
