// Reads a request's query: every parameter checked, unknown and repeated ones refused.

import FlushCore
import HTTPServer

/// Collects everything that is wrong with a query, and refuses it with all the places at once.
struct QueryReader {
    private var values: [String: String] = [:]
    private var faults: [Problem.Fault] = []

    /// - Parameter known: the parameters of this endpoint.
    init(_ request: Request, known: Set<String> = []) {
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
        faults.append(.init(pointer: "query:\(name.prefix(64))", detail: "\(name.prefix(64)): \(detail)"))
    }

    func finish() throws(Problem) {
        guard faults.isEmpty else { throw Problem(faults: faults) }
    }
}
