// The queues that an operator has given names to: `etrn_queues`.

import FlushCore

/// What `ETRN #name` stands for.
public struct ETRNQueues: Sendable, Equatable {
    /// A queue's name: 1 to 64 letters, digits, dots, hyphens and underscores; case means nothing.
    public struct Name: Hashable, Sendable, CustomStringConvertible {
        public static let maximumLength = 64
        public let description: String

        public init?(_ text: some StringProtocol) {
            let bytes = text.utf8
            guard (1...Self.maximumLength).contains(bytes.count), bytes.allSatisfy(Self.isAllowed) else { return nil }
            description = text.lowercased()
        }

        private static func isAllowed(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }

    /// Domains of one queue: as many flushes are started by one command.
    public static let maximumDomains = 100

    private var queues: [Name: [ETRNTarget]] = [:]

    /// No queues.
    public init() {}

    /// Reads the items of `etrn_queues`, each `name = domain @domain …` with commas or white space between the domains.
    public init(_ items: [String]) throws(InvalidETRNQueue) {
        for item in items {
            let (name, targets) = try Self.queue(item)
            guard queues.updateValue(targets, forKey: name) == nil else { throw InvalidETRNQueue(item, "the queue '\(name)' is there twice") }
        }
    }

    subscript(name: Name) -> [ETRNTarget]? { queues[name] }

    private static func queue(_ item: String) throws(InvalidETRNQueue) -> (Name, [ETRNTarget]) {
        guard let equals = item.firstIndex(of: "=") else {
            throw InvalidETRNQueue(item, "expected {name = domain, ...}, in braces")
        }
        let text = item[..<equals].split(separator: " ").joined(separator: " ")
        guard let name = Name(text) else {
            throw InvalidETRNQueue(item, "a queue's name has 1 to \(Name.maximumLength) letters, digits, dots, hyphens and underscores")
        }
        var targets: [ETRNTarget] = []
        for word in item[item.index(after: equals)...].split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            guard let target = ETRNTarget(word) else { throw InvalidETRNQueue(item, "'\(word)' is neither a domain nor @domain") }
            if !targets.contains(target) { targets.append(target) }
        }
        guard !targets.isEmpty else { throw InvalidETRNQueue(item, "the queue has no domains") }
        guard targets.count <= maximumDomains else { throw InvalidETRNQueue(item, "the queue has more than \(maximumDomains) domains") }
        return (name, targets)
    }
}

/// Why an item of `etrn_queues` is none.
public struct InvalidETRNQueue: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    /// Bytes of the item that are shown.
    private static let maximumShown = 60

    init(_ item: String, _ reason: String) {
        let isLong = item.utf8.count > Self.maximumShown
        description = "'\(isLong ? "\(item.prefix(Self.maximumShown))..." : item)' is no queue: \(reason)"
    }
}
