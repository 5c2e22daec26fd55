// Reads a request's query: every parameter checked, unknown and repeated ones refused.

import FlushCore
import HTTPServer
import JSONText

/// Collects everything that is wrong with a query, and refuses it with all the places at once.
struct QueryReader {
    private var values: [String: String] = [:]
    private var faults: [Problem.Fault] = []

    /// - Parameter known: the parameters of this endpoint.
    init(_ request: Request, known: [String] = []) {
        for item in request.query.items {
            if !known.contains(item.name) {
                let list = known.isEmpty ? "there are none here" : "known are \(known.sorted().joined(separator: ", "))"
                fault(item.name, "unknown parameter; \(list)")
            } else if values.updateValue(item.value, forKey: item.name) != nil {
                fault(item.name, "is given twice")
            }
        }
    }

    mutating func flag(_ name: String) -> Bool {
        switch values[name] {
        case nil, "false": return false
        case "true": return true
        default:
            fault(name, "must be true or false")
            return false
        }
    }

    mutating func integer(_ name: String, in range: ClosedRange<Int>, default fallback: Int) -> Int {
        optionalInteger(name, in: range) ?? fallback
    }

    mutating func optionalInteger(_ name: String, in range: ClosedRange<Int>) -> Int? {
        guard let text = values[name] else { return nil }
        // `Int.init` takes a plus sign and any number of zeros; a query does not.
        guard text.utf8.count <= 18, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text), range.contains(number) else {
            fault(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }

    mutating func text(_ name: String, maximumLength: Int, minimumLength: Int = 0) -> String? {
        guard let text = values[name] else { return nil }
        if text.utf8.count > maximumLength || text.utf8.count < minimumLength {
            fault(name, minimumLength == 0 ? "must have at most \(maximumLength) bytes" : "must have \(minimumLength) to \(maximumLength) bytes")
        } else if text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            fault(name, "must not have control characters")
        }
        return text
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String) -> Choice? {
        guard let text = values[name] else { return nil }
        guard let choice = Choice(rawValue: text) else {
            fault(name, "must be one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
            return nil
        }
        return choice
    }

    /// The beginning of domain names, in lower case.
    mutating func domainPrefix(_ name: String) -> String? {
        guard let text = text(name, maximumLength: DomainName.maximumLength, minimumLength: 1)?.lowercased() else { return nil }
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "-"),
                UInt8(ascii: "."):
                true
            default: false
            }
        }
        if !isPlain { fault(name, "must have letters, digits, dots, hyphens and underscores only (A-labels)") }
        return text
    }

    mutating func domain(_ name: String) -> DomainName? {
        guard let text = values[name] else { return nil }
        do { return try DomainName(parsing: text) } catch {
            fault(name, "\(error)")
            return nil
        }
    }

    /// A cursor that the endpoint itself had given out.
    mutating func cursor<Cursor>(_ parse: (String) -> Cursor?) -> Cursor? {
        guard let text = values["cursor"] else { return nil }
        guard let cursor = parse(text) else {
            fault("cursor", "is no cursor that this list gives out")
            return nil
        }
        return cursor
    }

    mutating func limit() -> Int { integer("limit", in: 1...1_000, default: 100) }

    mutating func fault(_ name: String, _ detail: String) {
        let shown = Self.shown(name)
        faults.append(.init(pointer: "query:\(shown)", detail: "\(shown): \(detail)"))
    }

    /// A name as it may be repeated: bounded, and percent-encoded where it is not plain.
    private static func shown(_ name: String) -> String { PercentText.encode(name.utf8.prefix(64)) }

    func finish() throws(Problem) {
        guard faults.isEmpty else { throw Problem(faults: faults) }
    }
}
