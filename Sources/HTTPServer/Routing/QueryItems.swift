// The query of a request: name=value pairs, decoded when somebody looks.

/// The pairs of a query in their order, duplicates kept.
///
/// The router answers a query that cannot be decoded, or has more than `maximumCount` pairs, with 400 before a handler sees it;
/// in a query made by hand such pairs are left out.
public struct QueryItems: Sendable {
    public struct Item: Hashable, Sendable {
        public var name: String
        /// Empty when there is no equals sign.
        public var value: String
    }

    public static let maximumCount = 100

    /// As sent, without the question mark.
    public let raw: String

    public init(_ raw: String = "") {
        self.raw = raw
    }

    public var isEmpty: Bool { raw.isEmpty }

    public var items: [Item] {
        raw.isEmpty ? [] : Self.parse(raw).items
    }

    /// The first value under this name.
    public subscript(name: String) -> String? {
        raw.isEmpty ? nil : items.first { $0.name == name }?.value
    }

    /// All values under this name.
    public func values(_ name: String) -> [String] {
        items.filter { $0.name == name }.map(\.value)
    }

    /// What is wrong with the query, or nil.
    var fault: String? {
        raw.isEmpty ? nil : Self.parse(raw).fault
    }

    private static func parse(_ raw: String) -> (items: [Item], fault: String?) {
        var items: [Item] = []
        var fault: String?
        for pair in raw.utf8.split(separator: UInt8(ascii: "&")) {
            guard items.count < maximumCount else {
                return (items, "The query may have at most \(maximumCount) parameters.")
            }
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false).map { Substring($0) }
            let name = PercentCoding.decode(parts[0], in: .query)
            let value = PercentCoding.decode(parts.count > 1 ? parts[1] : "", in: .query)
            switch (name, value) {
            case (.text(let name), .text(let value)): items.append(Item(name: name, value: value))
            case (.fault(let reason), _), (_, .fault(let reason)):
                fault = fault ?? "The query parameter \"\(parts[0].prefix(64))\" cannot be read: \(reason)."
            }
        }
        return (items, fault)
    }
}
