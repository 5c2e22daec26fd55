// A parameter's value after it has been understood.

/// What the text of a value means, by the parameter's kind.
enum ParameterValue: Sendable {
    /// There is nothing to know beyond the text.
    case text
    case list([String])
    case boolean(Bool)
    /// Also bytes.
    case integer(Int)
    case duration(Duration)
    case networks(NetworkList)

    /// Reads the expanded text of a value.
    init(_ text: String, as kind: ParameterKind) throws(InvalidValue) {
        switch kind {
        case .text: self = .text
        case .list: self = .list(try Self.list(text))
        case .words(let words):
            let items = try Self.list(text)
            for item in items where !words.contains(item) { throw Self.notOneOf(words, item) }
            self = .list(items)
        case .path(let required):
            guard text.hasPrefix("/") || text.isEmpty && !required else {
                throw InvalidValue("\(quoted(text)) is no absolute path; it must begin with '/'")
            }
            self = .text
        case .boolean:
            switch text.lowercased() {
            case "yes": self = .boolean(true)
            case "no": self = .boolean(false)
            default: throw InvalidValue("\(quoted(text)) is neither 'yes' nor 'no'")
            }
        case .integer(let range):
            guard let number = Self.number(text[...]) else { throw InvalidValue("\(quoted(text)) is no whole number") }
            guard range.contains(number) else { throw Self.outside(range, text) }
            self = .integer(number)
        case .bytes(let range): self = .integer(try Self.bytes(text, in: range))
        case .duration(let unit, let range): self = .duration(.seconds(try Self.seconds(text, unit: unit, in: range)))
        case .choice(let words):
            guard words.contains(text) else { throw Self.notOneOf(words, text) }
            self = .text
        case .hostName:
            try Self.checkHostName(text)
            self = .text
        case .addresses(let required):
            let items = try Self.list(text)
            guard !items.isEmpty || !required else { throw InvalidValue("at least one address is needed") }
            for item in items { try ListenAddress.check(item) }
            self = .list(items)
        case .networks:
            do { self = .networks(try NetworkList(parsing: text)) } catch { throw InvalidValue(error.description) }
        }
    }

    private static func list(_ text: String) throws(InvalidValue) -> [String] {
        do { return try ListSyntax.split(text) } catch { throw InvalidValue(error.description) }
    }

    /// Digits only; nil also for what does not fit.
    private static func number(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
    }

    private static func bytes(_ text: String, in range: ClosedRange<Int>) throws(InvalidValue) -> Int {
        let shift = ["k": 10, "m": 20, "g": 30][text.last?.lowercased() ?? ""]
        let digits = shift == nil ? text[...] : text.dropLast()
        guard let number = number(digits) else { throw InvalidValue("\(quoted(text)) is no number of bytes; k, m or g may follow the number") }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (shift ?? 0))
        guard !overflow, range.contains(bytes) else { throw outside(range, text) }
        return bytes
    }

    private static func seconds(_ text: String, unit: DurationUnit, in range: ClosedRange<Int>) throws(InvalidValue) -> Int {
        let given = DurationUnit.allCases.first { text.lowercased().utf8.last == $0.letter }
        let digits = given == nil ? text[...] : text.dropLast()
        guard let number = number(digits) else {
            throw InvalidValue("\(quoted(text)) is no time; it is a number and one of the units s, m, h, d, w")
        }
        let (seconds, overflow) = number.multipliedReportingOverflow(by: (given ?? unit).rawValue)
        guard !overflow, range.contains(seconds) else {
            throw InvalidValue("\(quoted(text)) is outside the range from \(range.lowerBound)s to \(range.upperBound)s")
        }
        return seconds
    }

    /// RFC 1123, section 2.1; the underscore is in real use.
    private static func checkHostName(_ text: String) throws(InvalidValue) {
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let isGood =
            text.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                    && label.allSatisfy { Character(Unicode.Scalar($0)).isHostCharacter }
            }
        guard isGood, text.utf8.contains(where: { Character(Unicode.Scalar($0)).isLetter }) else {
            throw InvalidValue("\(quoted(text)) is no host name")
        }
    }

    private static func notOneOf(_ words: [String], _ text: String) -> InvalidValue {
        let hint = nearestName(to: text, among: words).map { "; did you mean '\($0)'?" } ?? ""
        return InvalidValue("\(quoted(text)) is none of \(words.joined(separator: ", "))\(hint)")
    }

    private static func outside(_ range: ClosedRange<Int>, _ text: String) -> InvalidValue {
        InvalidValue("\(quoted(text)) is outside the range from \(range.lowerBound) to \(range.upperBound)")
    }
}

extension Character {
    fileprivate var isHostCharacter: Bool { isASCII && (isLetter || isNumber || self == "-" || self == "_") }
}
