// A list of domains as Postfix writes it (`fast_flush_domains`, `relay_domains`), with exactly Postfix's matching.

/// An ordered list of patterns; the first that matches decides.
///
/// Patterns are separated by commas or white space, `{…}` protects them. A pattern is a domain name, `.name`, `/file` (its
/// patterns stand in its place) or `type:table`; each leading `!` turns the verdict around. What matches nothing is `no`. A pattern
/// that cannot be used (a file that could not be read, a table of an unknown type) is no match and no `no`: whoever reaches it gets
/// `failure`, even behind a `!`.
///
/// One thing differs, because every `DomainName` is an A-label: a pattern that is a U-label counts as its A-label.
public struct DomainList: Sendable {
    public enum Match: Equatable, Sendable {
        case yes, no
        /// The verdict is unknown. An ETRN is answered 458, never 459.
        case failure(reason: String)
    }

    /// What a name in the list says about the domains below it.
    public enum Mode: Sendable {
        /// `parent_domain_matches_subdomains` contains the parameter: `name` matches its subdomains too, `.name` nothing.
        case parentDomains
        /// `name` matches itself alone, `.name` its subdomains.
        case exact
    }

    /// A file that a list names could not be read.
    public struct UnreadableFile: Error, Equatable, Sendable {
        public var reason: String
        public init(reason: String) { self.reason = reason }
    }

    /// What is looked up when it is reached, and not by name.
    struct Table: Sendable {
        enum Kind: Sendable {
            /// The provisioned relay domains.
            case store
            /// Any name is in it.
            case everything
            case unusable(reason: String)
        }

        var kind: Kind
        var verdict: Verdict
    }

    /// What a pattern says, and where it stands: a smaller position is reached first.
    struct Verdict: Sendable {
        var position: Int
        var isYes: Bool
    }

    /// Names and their verdicts.
    private struct Literals {
        private let verdicts: [String: Verdict]
        /// Whether there is a name of so many bytes: most parents of a domain are told from the list's names by that, without the copy
        /// that a look-up needs.
        private let hasLength: [Bool]

        init(_ verdicts: [String: Verdict]) {
            self.verdicts = verdicts
            var hasLength = [Bool](repeating: false, count: (verdicts.keys.map(\.utf8.count).max() ?? 0) + 1)
            for name in verdicts.keys { hasLength[name.utf8.count] = true }
            self.hasLength = hasLength
        }

        subscript(name: Substring) -> Verdict? {
            let length = name.utf8.count
            return length < hasLength.count && hasLength[length] ? verdicts[String(name)] : nil
        }
    }

    public let mode: Mode
    /// The names listed without a `!` that an earlier pattern does not hide, in the order of the list: they can be shown before any
    /// mail for them was seen.
    public let literalDomains: [DomainName]
    /// What an operator should know of the list: patterns that cannot match, files that could not be read. At most `maximumWarnings`.
    public let warnings: [String]
    /// No domain can match: there is no pattern at all.
    public let isEmpty: Bool

    public static let maximumWarnings = 50

    /// Names as they stand in the list, folded, the first of equal ones. A name's own text and those of its parents are looked up
    /// here, so a match costs at most as many look-ups as the name has labels, however long the list is.
    private let literals: Literals
    private let tables: [Table]

    /// Reads a list. Nothing is an error here: what cannot be used fails when it is reached, and is told in `warnings`.
    ///
    /// - Parameters:
    ///   - text: the parameter's value, with every `$name` expanded.
    ///   - readFile: the content of a file, given its absolute path; called at most `DomainListParser.maximumFiles` times, and only here.
    public init(parsing text: String, mode: Mode, readFile: (String) throws(UnreadableFile) -> String) {
        var parser = DomainListParser(mode: mode)
        parser.parse(text, isYes: true, readFile: readFile)
        self.mode = mode
        let literals = Literals(parser.literals)
        self.literals = literals
        tables = parser.tables
        warnings = parser.warnings
        isEmpty = parser.literals.isEmpty && parser.tables.isEmpty

        var domains: [DomainName] = []
        for (name, verdict) in parser.literals.sorted(by: { $0.value.position < $1.value.position }) where verdict.isYes {
            guard let domain = DomainName(name) else { continue }
            // Hidden only by what is fixed: provisioned domains come and go.
            if Self.match(domain, in: literals, parser.tables, mode: mode, store: { _ in false }) != .no { domains.append(domain) }
        }
        literalDomains = domains
    }

    /// Whether a domain is in the list.
    ///
    /// - Parameter store: whether a relay domain is provisioned; asked for `domain` and, in parent mode, for its parents.
    public func match(_ domain: DomainName, store: (DomainName) -> Bool) -> Match {
        Self.match(domain, in: literals, tables, mode: mode, store: store)
    }

    private static func match(
        _ domain: DomainName, in literals: Literals, _ tables: [Table], mode: Mode, store: (DomainName) -> Bool
    ) -> Match {
        let literal = firstLiteral(for: domain, in: literals, mode: mode)
        for table in tables {
            if let literal, literal.position < table.verdict.position { break }
            switch table.kind {
            case .unusable(let reason): return .failure(reason: reason)
            case .everything: return table.verdict.isYes ? .yes : .no
            case .store:
                if isProvisioned(domain, mode: mode, store: store) { return table.verdict.isYes ? .yes : .no }
            }
        }
        return literal?.isYes == true ? .yes : .no
    }

    /// The first name in the list that matches.
    private static func firstLiteral(for domain: DomainName, in literals: Literals, mode: Mode) -> Verdict? {
        let name = domain.description
        var first = literals[name[...]]
        for dot in name.utf8.indices where name.utf8[dot] == UInt8(ascii: ".") {
            // Parent mode knows parents as `name`, exact mode as `.name`.
            let parent = name[(mode == .parentDomains ? name.utf8.index(after: dot) : dot)...]
            if let candidate = literals[parent], candidate.position < first?.position ?? .max { first = candidate }
        }
        return first
    }

    /// A table is asked for the name and then for its parents, in exact mode with a leading dot: such a key is never a relay domain.
    private static func isProvisioned(_ domain: DomainName, mode: Mode, store: (DomainName) -> Bool) -> Bool {
        if store(domain) { return true }
        guard mode == .parentDomains else { return false }
        var parent = domain.parent
        while let name = parent {
            if store(name) { return true }
            parent = name.parent
        }
        return false
    }
}
