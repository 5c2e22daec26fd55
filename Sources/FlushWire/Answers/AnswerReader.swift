// Reads the server's answers. What they have besides is skipped: fields may be added to an answer.

import FlushCore

/// Why an answer is not what openapi.yaml promises.
public struct InvalidAnswer: Error, Equatable, Sendable, CustomStringConvertible {
    /// Member names with dots between them; empty for the whole.
    public var place: String
    public var detail: String

    public var description: String { place.isEmpty ? "the answer \(detail)" : "the answer's \(place) \(detail)" }
}

/// An object of an answer.
struct AnswerReader {
    /// A JSON number is exact up to here, and the sums that are made of counts cannot overflow.
    static let largestCount = 1 << 53

    private let place: String
    private let members: [String: JSONValue]

    init(_ value: JSONValue, at place: String = "") throws(InvalidAnswer) {
        guard case .object(let members) = value else { throw InvalidAnswer(place: place, detail: "is no object") }
        self.place = place
        self.members = members
    }

    func text(_ name: String) throws(InvalidAnswer) -> String {
        guard case .text(let text)? = members[name] else { throw wrong(name, "is no string") }
        return text
    }

    func textOrNull(_ name: String) throws(InvalidAnswer) -> String? { isNull(name) ? nil : try text(name) }

    func flag(_ name: String) throws(InvalidAnswer) -> Bool {
        guard case .flag(let flag)? = members[name] else { throw wrong(name, "is no boolean") }
        return flag
    }

    /// A whole number from 0 to `largestCount`.
    func count(_ name: String) throws(InvalidAnswer) -> Int {
        guard case .number(let number)? = members[name], let count = Int(exactly: number), (0...Self.largestCount).contains(count) else {
            throw wrong(name, "is no count")
        }
        return count
    }

    func time(_ name: String) throws(InvalidAnswer) -> Timestamp { try parsed(name) { Timestamp(rfc3339: $0) } }

    func timeOrNull(_ name: String) throws(InvalidAnswer) -> Timestamp? { isNull(name) ? nil : try time(name) }

    func choice<Choice: RawRepresentable<String>>(_ name: String) throws(InvalidAnswer) -> Choice { try parsed(name) { Choice(rawValue: $0) } }

    /// What `parse` makes of a text.
    func parsed<Value>(_ name: String, _ parse: (String) -> Value?) throws(InvalidAnswer) -> Value {
        let text = try text(name)
        guard let value = parse(text) else { throw wrong(name, "has a value of no meaning here, \"\(text.prefix(100))\"") }
        return value
    }

    func parsedOrNull<Value>(_ name: String, _ parse: (String) -> Value?) throws(InvalidAnswer) -> Value? {
        isNull(name) ? nil : try parsed(name, parse)
    }

    func object(_ name: String) throws(InvalidAnswer) -> AnswerReader { try AnswerReader(members[name] ?? .null, at: path(name)) }

    func objectOrNull(_ name: String) throws(InvalidAnswer) -> AnswerReader? { isNull(name) ? nil : try object(name) }

    /// What `read` makes of each object of an array.
    func list<Item>(_ name: String, _ read: (AnswerReader) throws(InvalidAnswer) -> Item) throws(InvalidAnswer) -> [Item] {
        var items: [Item] = []
        for (index, value) in try array(name).enumerated() {
            items.append(try read(AnswerReader(value, at: "\(path(name))[\(index)]")))
        }
        return items
    }

    /// What `parse` makes of each text of an array.
    func texts<Item>(_ name: String, _ parse: (String) -> Item?) throws(InvalidAnswer) -> [Item] {
        var items: [Item] = []
        for (index, value) in try array(name).enumerated() {
            guard case .text(let text) = value, let item = parse(text) else { throw wrong("\(name)[\(index)]", "has a value of no meaning here") }
            items.append(item)
        }
        return items
    }

    private func array(_ name: String) throws(InvalidAnswer) -> [JSONValue] {
        guard case .array(let values)? = members[name] else { throw wrong(name, "is no array") }
        return values
    }

    func wrong(_ name: String, _ detail: String) -> InvalidAnswer {
        InvalidAnswer(place: path(name), detail: members[name] == nil && !name.hasSuffix("]") ? "is missing" : detail)
    }

    private func isNull(_ name: String) -> Bool { members[name] == nil || members[name] == .null }

    private func path(_ name: String) -> String { place.isEmpty ? name : "\(place).\(name)" }
}

/// A page of a list.
public struct AnswerPage<Item: Sendable>: Sendable {
    public var items: [Item]
    /// What to ask the next page with; nil on the last one.
    public var next: String?

    public init(items: [Item], next: String?) {
        self.items = items
        self.next = next
    }

    /// Reads `{"<name>": […], "next_cursor": …}`.
    init(_ answer: JSONValue, _ name: String, _ read: (AnswerReader) throws(InvalidAnswer) -> Item) throws(InvalidAnswer) {
        let reader = try AnswerReader(answer)
        items = try reader.list(name, read)
        next = try reader.textOrNull("next_cursor")
    }
}
