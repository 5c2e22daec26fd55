// etrnd.cf and the values in it: what is accepted can be written again, and every error names its place.

import DispatchSockets

@testable import Configuration

enum ConfigurationProperties {
    private static let file = "fuzz.cf"

    static func check(_ input: [UInt8]) throws {
        // A file that is not UTF-8 is refused before this.
        let text = String(decoding: input, as: UTF8.self)
        try checkOverride(text)
        let settings: Settings
        do throws(ConfigurationError) { settings = try read(text) } catch {
            return try checkError(error, lines: text.utf8.count { $0 == UInt8(ascii: "\n") } + 1)
        }
        try require(settings.warnings.count <= 50, "\(settings.warnings.count) warnings")
        for warning in settings.warnings {
            try requirePlain(warning, "a warning")
            try require(warning.hasPrefix("\(file):"), "a warning without its place: \(warning)")
        }
        try checkWrittenAgain(settings)
    }

    private static func read(_ text: String) throws(ConfigurationError) -> Settings {
        try Settings(file: file, text: text, environment: [:], overrides: [], table: ParameterTable.all, machineName: "machine.example")
    }

    private static func checkError(_ error: ConfigurationError, lines: Int) throws {
        try require((1...ConfigurationError.maximumProblems + 1).contains(error.problems.count), "\(error.problems.count) problems")
        for problem in error.problems {
            try requirePlain(problem.description, "a problem")
            let isSummary = problem.text.hasSuffix(" more problems")
            // A default can only be bad for what was put into it.
            let hasPlace = problem.file == file ? isSummary || problem.line != nil : problem.file == "default"
            try require(hasPlace, "a problem without its place: \(problem)")
            try require((1...lines).contains(problem.line ?? 1), "\(problem) of \(lines) lines")
            try require(problem.text.utf8.count <= 4_096, "a problem of \(problem.text.utf8.count) bytes")
        }
    }

    private static func checkWrittenAgain(_ settings: Settings) throws {
        let values = settings.effective.map(\.value)
        let asWritten = settings.effective.map { "\($0.name) = \($0.unexpanded)\n" }.joined()
        try require(try read(asWritten).effective.map(\.value), equals: values, "the values, and as they were written")
        // A dollar sign that came out of an expansion means itself.
        let expanded = settings.effective.map { "\($0.name) = \(doublingDollars($0.value))\n" }.joined()
        guard settings.effective.allSatisfy({ 2 * $0.value.utf8.count < LogicalLines.maximumLineLength / 2 }) else { return }
        try require(try read(expanded).effective.map(\.value), equals: values.map(trimmed), "the values, and written expanded")
    }

    /// By bytes: a dollar sign with an accent is another character to Swift.
    private static func doublingDollars(_ text: String) -> String {
        let dollar = UInt8(ascii: "$")
        return String(decoding: text.utf8.flatMap { $0 == dollar ? [dollar, dollar] : [$0] }, as: UTF8.self)
    }

    /// A value loses white space at its ends when it is written to a file.
    private static func trimmed(_ text: String) -> String { String(decoding: Array(text.utf8)[...].trimmed, as: UTF8.self) }

    private static func checkOverride(_ text: String) throws {
        guard let (name, value) = try? Settings.override(parsing: text) else { return }
        try require(!name.isEmpty && !name.utf8.contains { isSpace($0) }, "a name that is none: \(name.debugDescription)")
        let again = try Settings.override(parsing: "\(name) = \(value)")
        try require([again.0, again.1], equals: [name, value], "an override, and written again")
    }
}

enum SettingListProperties {
    static func check(_ input: [UInt8]) throws {
        let text = String(decoding: input, as: UTF8.self)
        try checkList(text)
        try checkNetworks(text)
        try checkAddress(text)
    }

    private static func checkList(_ text: String) throws {
        let items: [String]
        do throws(InvalidList) { items = try ListSyntax.split(text) } catch { return try requirePlain(error.description, "an error") }
        try require(!items.contains(""), "an empty item")
        let again = try ListSyntax.split(items.map { "{\($0)}" }.joined(separator: ", "))
        try require(again, equals: items, "the items of \(text.debugDescription), and written again")
    }

    private static func checkNetworks(_ text: String) throws {
        let networks: NetworkList
        do throws(InvalidNetwork) { networks = try NetworkList(parsing: text) } catch { return try requirePlain(error.description, "an error") }
        try require(try NetworkList(parsing: networks.description).description, equals: networks.description, "networks, and read again")
        for address: UInt32 in [0, 0x7f00_0001, 0x0a00_0001, 0xc0a8_0101, .max] {
            // RFC 4291, section 2.5.5.2: an IPv4-mapped address is the IPv4 address.
            let isIn = networks.contains(ipv4: address)
            try require(networks.contains(ipv6: UInt128(0xffff) << 32 | UInt128(address)), equals: isIn, "an address and its mapped form")
            guard let negated = try? NetworkList(parsing: "!0.0.0.0/0 \(text)") else { continue }
            try require(!negated.contains(ipv4: address), "the first match does not decide")
        }
    }

    private static func checkAddress(_ text: String) throws {
        do throws(InvalidValue) { try ListenAddress.check(text) } catch { return try requirePlain(error.text, "an error") }
        // Which interfaces there are only the machine knows, and a NUL never gets through the file.
        guard !text.contains("%"), !text.utf8.contains(0) else { return }
        do throws(SocketError) { _ = try SocketAddress(parsing: text) } catch {
            throw Violation(description: "the configuration takes \(text.debugDescription), and the socket does not: \(error)")
        }
    }
}
