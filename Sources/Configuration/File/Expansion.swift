// `$name` and its relatives: how values are made of other values.

/// Puts the values of parameters into the values of others.
///
/// `$name`, `${name}` and `$(name)` stand for a value; `${name?text}` for the text when the value is not empty, `${name:text}` when it
/// is; `${name?{text}:{text}}` has both. `$$` is a dollar sign. Each parameter is expanded once and remembered, so the work is bounded by
/// the length of the texts however they refer to each other.
struct Expansion {
    static let maximumLength = 64 << 10
    /// `${a?${b?…}}`: deeper than this nobody means.
    static let maximumDepth = 20

    enum Failure: Error, Equatable {
        /// The text that was being expanded is at fault.
        case here(String)
        /// These parameters refer to each other in a circle; each of them fails with it.
        case loop([String])
        /// A parameter that the text refers to is at fault, and is reported itself.
        case elsewhere
    }

    private let texts: [String: String]
    private var results: [String: Result<[UInt8], Failure>] = [:]
    private var underWay: [String] = []

    /// `texts` has the unexpanded value of every name there is.
    init(_ texts: [String: String]) { self.texts = texts }

    /// The expanded value of a parameter, which must be one of those given.
    mutating func value(of name: String) throws(Failure) -> String {
        String(decoding: try bytes(of: name), as: UTF8.self)
    }

    private mutating func bytes(of name: String) throws(Failure) -> [UInt8] {
        if let known = results[name] { return try known.get() }
        underWay.append(name)
        defer { underWay.removeLast() }
        var output: [UInt8] = []
        do throws(Failure) {
            try expand(Array((texts[name] ?? "").utf8)[...], depth: 0, into: &output)
            results[name] = .success(output)
        } catch {
            results[name] = .failure(error)
            throw error
        }
        return output
    }

    private mutating func expand(_ text: ArraySlice<UInt8>, depth: Int, into output: inout [UInt8]) throws(Failure) {
        guard depth <= Self.maximumDepth else { throw .here("'${…}' nested deeper than \(Self.maximumDepth)") }
        var rest = text
        while let dollar = rest.firstIndex(of: UInt8(ascii: "$")) {
            try append(rest[..<dollar], to: &output)
            rest = rest[(dollar + 1)...]
            guard let next = rest.first else { throw .here("a '$' at the end; the character itself is written '$$'") }
            switch next {
            case UInt8(ascii: "$"):
                try append([next], to: &output)
                rest = rest.dropFirst()
            case UInt8(ascii: "{"), UInt8(ascii: "("):
                guard let close = closing(in: rest) else {
                    throw .here("'$\(Character(Unicode.Scalar(next)))' without its '\(next == UInt8(ascii: "{") ? "}" : ")")'")
                }
                try expandBraced(rest[(rest.startIndex + 1)..<close], depth: depth, into: &output)
                rest = rest[(close + 1)...]
            default:
                let name = rest.prefix(while: isNameByte)
                guard !name.isEmpty else { throw .here("a '$' that no name follows; the character itself is written '$$'") }
                try append(value(named: name)[...], to: &output)
                rest = rest[name.endIndex...]
            }
        }
        try append(rest, to: &output)
    }

    /// What stands between `${` and `}`.
    private mutating func expandBraced(_ text: ArraySlice<UInt8>, depth: Int, into output: inout [UInt8]) throws(Failure) {
        let inner = text.trimmedAtStart
        let name = inner.prefix(while: isNameByte)
        let rest = inner[name.endIndex...].trimmedAtStart
        guard !name.isEmpty else {
            guard inner.first == UInt8(ascii: "{") else {
                throw .here("\(quoted("${" + String(decoding: text.prefix(20), as: UTF8.self))) names no parameter")
            }
            throw .here("comparisons in '${…}' are not supported")
        }
        let value = try value(named: name)
        guard let mark = rest.first else {
            try append(value[...], to: &output)
            return
        }
        let branches = rest.dropFirst().trimmedAtStart
        let chosen: ArraySlice<UInt8>
        switch mark {
        case UInt8(ascii: "?"):
            let (present, absent) = try split(branches)
            chosen = value.isEmpty ? absent : present
        case UInt8(ascii: ":"):
            let (absent, other) = try split(branches)
            guard other.isEmpty else { throw .here("text after '${name:{…}}'") }
            chosen = value.isEmpty ? absent : []
        default: throw .here("after the name in '${…}' comes '?', ':' or '}', not \(quoted(String(decoding: rest.prefix(1), as: UTF8.self)))")
        }
        try expand(chosen, depth: depth + 1, into: &output)
    }

    /// `text` is one branch; `{text}:{text}` or `{text}:text` are two. White space counts behind a branch's text and not before it, as in
    /// main.cf.
    private func split(_ text: ArraySlice<UInt8>) throws(Failure) -> (ArraySlice<UInt8>, ArraySlice<UInt8>) {
        guard text.first == UInt8(ascii: "{") else { return (text, []) }
        guard let close = closing(in: text) else { throw .here("a '{' without its '}'") }
        let first = text[(text.startIndex + 1)..<close].trimmedAtStart
        let rest = text[(close + 1)...].trimmedAtStart
        guard let colon = rest.first else { return (first, []) }
        guard colon == UInt8(ascii: ":") else { throw .here("after '{…}' in '${…}' comes ':' or '}'") }
        let second = rest.dropFirst().trimmedAtStart
        guard second.first == UInt8(ascii: "{") else { return (first, second) }
        guard let end = closing(in: second) else { throw .here("a '{' without its '}'") }
        guard second[(end + 1)...].trimmed.isEmpty else { throw .here("text after the second '{…}' in '${…}'") }
        return (first, second[(second.startIndex + 1)..<end].trimmedAtStart)
    }

    private mutating func value(named name: ArraySlice<UInt8>) throws(Failure) -> [UInt8] {
        let name = String(decoding: name, as: UTF8.self)
        guard texts[name] != nil else {
            let hint = nearestName(to: name, among: texts.keys.sorted()).map { "; did you mean '$\($0)'?" } ?? ""
            throw .here("'$' with an unknown parameter \(quoted(name))\(hint)")
        }
        if let start = underWay.firstIndex(of: name) {
            throw .loop(Array(underWay[start...]))
        }
        do throws(Failure) { return try bytes(of: name) } catch {
            if case .loop(let names) = error, let current = underWay.last, names.contains(current) { throw error }
            throw .elsewhere
        }
    }

    private func append(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) throws(Failure) {
        guard output.count + bytes.count <= Self.maximumLength else {
            throw .here("the value grows longer than \(Self.maximumLength) bytes when '$' names are put in")
        }
        output.append(contentsOf: bytes)
    }

    /// The place of the bracket that closes the one with which `text` begins.
    private func closing(in text: ArraySlice<UInt8>) -> Int? {
        guard let open = text.first else { return nil }
        let close = open == UInt8(ascii: "{") ? UInt8(ascii: "}") : UInt8(ascii: ")")
        var depth = 0
        for i in text.indices {
            if text[i] == open { depth += 1 }
            if text[i] == close { depth -= 1 }
            if depth == 0 { return i }
        }
        return nil
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
