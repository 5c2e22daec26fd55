// One parser under attack: a name, and what must hold for every input whatsoever.

/// A parser and the properties that are held to it: by libFuzzer in `Tools/fuzz`, by kept and mutated inputs in `make test`.
struct FuzzTarget: Sendable {
    /// Also the name of its folders below `Fuzz`.
    let name: String
    /// Bytes of an input; what means something fits, and short inputs are tried more often.
    let maximumLength: Int
    /// Throws a `Violation` when the input breaks a property. A trap is one, too.
    let check: @Sendable ([UInt8]) throws -> Void

    init(_ name: String, maximumLength: Int = 2_048, _ check: @escaping @Sendable ([UInt8]) throws -> Void) {
        self.name = name
        self.maximumLength = maximumLength
        self.check = check
    }

    static let all: [FuzzTarget] = [
        FuzzTarget("http-requests", maximumLength: 4_096, HTTPRequestProperties.check),
        FuzzTarget("http-chunks", HTTPChunkProperties.check),
        FuzzTarget("http-targets", maximumLength: 512, HTTPTargetProperties.check),
        FuzzTarget("smtp-sessions", maximumLength: 4_096, SMTPSessionProperties.check),
        FuzzTarget("smtp-paths", maximumLength: 600, SMTPPathProperties.check),
        FuzzTarget("smtp-replies", maximumLength: 4_096, SMTPReplyProperties.check),
        FuzzTarget("dot-stuffing", DotStuffingProperties.check),
        FuzzTarget("etrn-nodes", maximumLength: 512, ETRNNodeProperties.check),
        FuzzTarget("postfix-requests", maximumLength: 4_096, PostfixRequestProperties.check),
        FuzzTarget("queue-files", maximumLength: 16_384, QueueFileProperties.check),
        FuzzTarget("quoted-addresses", maximumLength: 256, QuotedAddressProperties.check),
        FuzzTarget("defer-logs", DeferLogProperties.check),
        FuzzTarget("mail-logs", maximumLength: 20_000, MailLogProperties.check),
        FuzzTarget("configuration", maximumLength: 4_096, ConfigurationProperties.check),
        FuzzTarget("setting-lists", maximumLength: 512, SettingListProperties.check),
        FuzzTarget("domain-lists", DomainListProperties.check),
        FuzzTarget("names", maximumLength: 1_100, NameProperties.check),
        FuzzTarget("next-hops", maximumLength: 320, NextHopProperties.check),
        FuzzTarget("spool-files", maximumLength: 8_192, SpoolFileProperties.check),
        FuzzTarget("attempt-notes", maximumLength: 4_096, AttemptNoteProperties.check),
        FuzzTarget("hop-counts", HopCountProperties.check),
        FuzzTarget("destination-logs", DestinationLogProperties.check),
        FuzzTarget("json", JSONProperties.check),
        FuzzTarget("json-bodies", maximumLength: 4_096, JSONBodyProperties.check),
    ]
}

/// Why an input is a find.
struct Violation: Error, CustomStringConvertible {
    let description: String
}

/// Throws unless the condition holds.
func require(_ condition: Bool, _ text: @autoclosure () -> String) throws {
    guard condition else { throw Violation(description: text()) }
}

/// Throws unless both are equal, and shows them.
func require<Value: Equatable>(_ value: Value, equals other: Value, _ text: @autoclosure () -> String) throws {
    guard value == other else { throw Violation(description: "\(text()):\n  \(value)\n  \(other)") }
}

/// Throws unless the text can be shown to people: no control characters that would move a terminal's cursor or begin a line.
func requirePlain(_ text: String, _ what: @autoclosure () -> String) throws {
    let isPlain = !text.unicodeScalars.contains { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) }
    try require(isPlain, "\(what()) has a control character: \(text.debugDescription)")
}
