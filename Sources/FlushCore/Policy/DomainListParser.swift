// Takes a list of domains apart, files included.

/// Reads the text of a `DomainList` into names and tables, each with its position.
struct DomainListParser {
    /// Files in files, counted from the parameter.
    static let maximumDepth = 16
    /// Files read for one list, so that files that include each other twice end too.
    static let maximumFiles = 1000
    /// Patterns in one list: a hundred bytes each make 100 MB, more than any list of domains that is meant.
    static let maximumPatterns = 1_000_000
    /// Bytes of a pattern that a warning shows.
    private static let maximumShown = 100

    let mode: DomainList.Mode
    private(set) var literals: [String: DomainList.Verdict] = [:]
    private(set) var tables: [DomainList.Table] = []
    private(set) var warnings: [String] = []
    private var position = 0
    private var filesRead = 0
    private var openFiles: [String] = []

    init(mode: DomainList.Mode) { self.mode = mode }

    /// Reads patterns from one value or one line.
    ///
    /// - Parameter isYes: false inside a file behind a `!`: each of its patterns is turned around.
    mutating func parse(_ text: String, isYes: Bool, readFile: (String) throws(DomainList.UnreadableFile) -> String) {
        var rest = text.utf8[...]
        while let token = Self.nextToken(in: &rest) {
            if token.first == UInt8(ascii: "#") {
                warn("a comment behind patterns is not supported; ignored: '\(shown(token)) \(shown(rest))'")
                return
            }
            guard position < Self.maximumPatterns else {
                addUnusable("the list has more than \(Self.maximumPatterns) patterns", isYes: isYes)
                return
            }
            let pattern = token.drop { $0 == UInt8(ascii: "!") }
            add(pattern, isYes: (token.count - pattern.count).isMultiple(of: 2) ? isYes : !isYes, readFile: readFile)
        }
    }

    /// The next run of bytes that are no separators; between `{` and its `}` separators count as ordinary bytes.
    private static func nextToken(in rest: inout Substring.UTF8View) -> Substring.UTF8View? {
        rest = rest.drop(while: isSeparator)
        guard !rest.isEmpty else { return nil }
        var level = 0
        var end = rest.startIndex
        while end < rest.endIndex {
            let byte = rest[end]
            if byte == UInt8(ascii: "{") {
                level += 1
            } else if byte == UInt8(ascii: "}"), level > 0 {
                level -= 1
            } else if level == 0, isSeparator(byte) {
                break
            }
            rest.formIndex(after: &end)
        }
        defer { rest = rest[end...] }
        return rest[..<end]
    }

    private static func isSeparator(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): true
        default: false
        }
    }

    private mutating func add(
        _ pattern: Substring.UTF8View, isYes: Bool, readFile: (String) throws(DomainList.UnreadableFile) -> String
    ) {
        let text = String(Substring(pattern))
        switch pattern.first {
        case nil: addUnusable("no pattern after '!'", isYes: isYes)
        case UInt8(ascii: "/"): addFile(text, isYes: isYes, readFile: readFile)
        case UInt8(ascii: "["): addLiteral(text, isYes: isYes)
        default:
            if pattern.contains(UInt8(ascii: ":")) { addTable(text, isYes: isYes) } else { addLiteral(text, isYes: isYes) }
        }
    }

    // MARK: Kinds of patterns

    private mutating func addFile(
        _ path: String, isYes: Bool, readFile: (String) throws(DomainList.UnreadableFile) -> String
    ) {
        guard openFiles.count < Self.maximumDepth, !openFiles.contains(path) else {
            addUnusable("\(shown(path.utf8[...], maximum: .max)): files include each other, or more than \(Self.maximumDepth) deep", isYes: isYes)
            return
        }
        guard filesRead < Self.maximumFiles else {
            addUnusable("\(shown(path.utf8[...], maximum: .max)): the list names more than \(Self.maximumFiles) files", isYes: isYes)
            return
        }
        filesRead += 1
        let content: String
        do { content = try readFile(path) } catch {
            addUnusable("\(shown(path.utf8[...], maximum: .max)): \(error.reason)", isYes: isYes)
            return
        }
        openFiles.append(path)
        // By bytes: to Swift CR LF is one character, and a line may end in either.
        for line in content.utf8.split(separator: UInt8(ascii: "\n")) where line.first != UInt8(ascii: "#") {
            parse(String(Substring(line)), isYes: isYes, readFile: readFile)
        }
        openFiles.removeLast()
    }

    private mutating func addTable(_ text: String, isYes: Bool) {
        let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")) ?? text.endIndex
        let verdict = nextVerdict(isYes)
        switch (text[..<colon], text.utf8.distance(from: colon, to: text.endIndex)) {
        case ("store", 1): tables.append(DomainList.Table(kind: .store, verdict: verdict))
        case ("store", _): addUnusable("'\(shown(text.utf8[...]))': store: takes no name", at: verdict)
        // Postfix refuses to run with a static: of no value.
        case ("static", 1): addUnusable("'static:' needs a value, as in static:all", at: verdict)
        case ("static", _): tables.append(DomainList.Table(kind: .everything, verdict: verdict))
        default:
            addUnusable(
                "'\(shown(text.utf8[...]))': lists know no tables of type '\(shown(text.utf8[..<colon]))', only store: and static:",
                at: verdict)
        }
    }

    private mutating func addLiteral(_ text: String, isYes: Bool) {
        let verdict = nextVerdict(isYes)
        let isSuffix = text.hasPrefix(".")
        let name = isSuffix ? text.dropFirst() : text[...]
        var key = text.lowercased()
        if let domain = DomainName(name) {
            key = isSuffix ? ".\(domain)" : domain.description
            if isSuffix, mode == .parentDomains {
                warn("'\(text)' matches nothing: '\(domain)' matches its subdomains already (parent_domain_matches_subdomains)")
            }
        } else {
            warn("'\(shown(text.utf8[...]))' is no domain name and may match nothing")
        }
        if literals[key] == nil { literals[key] = verdict }
    }

    private mutating func addUnusable(_ reason: String, isYes: Bool) { addUnusable(reason, at: nextVerdict(isYes)) }

    private mutating func addUnusable(_ reason: String, at verdict: DomainList.Verdict) {
        tables.append(DomainList.Table(kind: .unusable(reason: reason), verdict: verdict))
        warn(reason)
    }

    // MARK: Helpers

    private mutating func nextVerdict(_ isYes: Bool) -> DomainList.Verdict {
        position += 1
        return DomainList.Verdict(position: position, isYes: isYes)
    }

    private mutating func warn(_ text: String) {
        if warnings.count < DomainList.maximumWarnings { warnings.append(text) }
    }

    /// A pattern for a warning: short, and without anything that moves a terminal's cursor.
    private func shown(_ text: Substring.UTF8View, maximum: Int = maximumShown) -> String {
        var shown = String.UnicodeScalarView()
        for scalar in String(decoding: text.prefix(maximum), as: UTF8.self).unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            shown.append(isControl ? "?" : scalar)
        }
        return String(shown)
    }
}
