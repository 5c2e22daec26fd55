// A JSON document as a value, and a reader that says where it is wrong.

import JSONText

/// Any JSON value.
public indirect enum JSONValue: Sendable, Equatable {
    case null
    case flag(Bool)
    case number(Double)
    case text(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Parses a document; nil when it is no JSON, or nested deeper than `JSONParser.maximumDepth`. The server's body limit bounds the size.
    public init?(parsing bytes: [UInt8]) {
        guard let value = JSONParser.value(of: bytes) else { return nil }
        self = value
    }

    fileprivate var kind: String {
        switch self {
        case .null: "null"
        case .flag: "a boolean"
        case .number: "a number"
        case .text: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// Everything that is wrong with a body, each with its place.
public struct InvalidBody: Error, Equatable, Sendable {
    /// More than this are not collected: an asker mends these first.
    public static let maximumFaults = 100

    public struct Fault: Equatable, Sendable {
        /// A JSON pointer as a URI fragment (RFC 6901, section 6).
        public var pointer: String
        public var detail: String

        public init(pointer: String, detail: String) {
            self.pointer = pointer
            self.detail = detail
        }
    }

    public var faults: [Fault]

    public init(faults: [Fault]) { self.faults = faults }
}

/// Reads an object's members, refuses those it does not know, and collects all that is wrong.
struct JSONObjectReader {
    private(set) var faults: [InvalidBody.Fault] = []
    private let place: String
    private var members: [String: JSONValue] = [:]

    init(_ value: JSONValue, at place: String, known: Set<String>) {
        self.place = place
        guard case .object(let members) = value else {
            faults.append(.init(pointer: place, detail: "must be an object, is \(value.kind)"))
            return
        }
        self.members = members
        let list = known.sorted().joined(separator: ", ")
        for name in members.keys.filter({ !known.contains($0) }).sorted().prefix(InvalidBody.maximumFaults) {
            fault(name, "unknown field; known are \(list)")
        }
    }

    mutating func text(_ name: String, maximumLength: Int) -> String? {
        guard let value = members[name] else { return nil }
        guard case .text(let text) = value else {
            fault(name, "must be a string, is \(value.kind)")
            return nil
        }
        if text.utf8.count > maximumLength {
            fault(name, "must have at most \(maximumLength) bytes")
            return nil
        }
        if text.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }) {
            fault(name, "must not have control characters")
            return nil
        }
        return text
    }

    /// Reads a member that must be there, as what `parse` makes of its text.
    mutating func parsed<Value, Failure: Error>(
        _ name: String, maximumLength: Int, _ parse: (String) throws(Failure) -> Value
    ) -> Value? {
        // What is no object has no members to miss.
        guard members[name] != nil else {
            if faults.first?.pointer != place { fault(name, "is missing") }
            return nil
        }
        guard let text = text(name, maximumLength: maximumLength) else { return nil }
        do { return try parse(text) } catch {
            fault(name, "\(error)")
            return nil
        }
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String) -> Choice? {
        guard let text = text(name, maximumLength: 100) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            fault(name, "must be one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
            return nil
        }
        return choice
    }

    mutating func array(_ name: String, maximumCount: Int) -> [JSONValue] {
        switch members[name] {
        case .array(let items) where items.count <= maximumCount: return items
        case .array: fault(name, "must have at most \(maximumCount) entries")
        case let value?: fault(name, "must be an array, is \(value.kind)")
        case nil where faults.first?.pointer != place: fault(name, "is missing")
        case nil: break
        }
        return []
    }

    mutating func fault(_ name: String, _ detail: String) {
        faults.append(.init(pointer: Self.pointer(name, below: place), detail: detail))
    }

    // RFC 6901, sections 3 and 6: `~` and `/` are escaped, then what a URI fragment may not hold.
    private static func pointer(_ name: String, below place: String) -> String {
        var escaped = ""
        for byte in name.utf8.prefix(64) {
            switch byte {
            case UInt8(ascii: "~"): escaped += "~0"
            case UInt8(ascii: "/"): escaped += "~1"
            default: escaped += PercentText.encode(CollectionOfOne(byte))
            }
        }
        return "\(place)/\(escaped)"
    }
}
