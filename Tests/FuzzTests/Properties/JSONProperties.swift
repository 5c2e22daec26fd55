// JSON: documents survive being written again, bodies are refused with places, answers of any server are read or refused.

import FlushCore
import JSONText

@testable import FlushWire

enum JSONProperties {
    static func check(_ input: [UInt8]) throws {
        try checkText(String(decoding: input, as: UTF8.self))
        guard let value = JSONValue(parsing: input) else { return }
        var bytes: [UInt8] = []
        write(value, to: &bytes)
        try require(JSONValue(parsing: bytes), equals: value, "a document, and written again")
    }

    /// Any text can be written as JSON.
    private static func checkText(_ text: String) throws {
        var bytes: [UInt8] = []
        JSONText.append(text, to: &bytes)
        guard case .text(let again)? = JSONValue(parsing: bytes) else { throw Violation(description: "a text is not read again: \(bytes)") }
        // By bytes: texts that look the same are equal to Swift.
        try require(Array(again.utf8), equals: Array(text.utf8), "a text, and read again")
        if let time = Timestamp(rfc3339: text) {
            try require(Timestamp(rfc3339: time.rfc3339), equals: time, "a time, and read again")
        }
    }

    static func write(_ value: JSONValue, to bytes: inout [UInt8]) {
        switch value {
        case .null: bytes += "null".utf8
        case .flag(let flag): bytes += (flag ? "true" : "false").utf8
        case .number(let number): bytes += "\(number)".utf8
        case .text(let text): JSONText.append(text, to: &bytes)
        case .array(let items):
            bytes.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                write(item, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let members):
            bytes.append(UInt8(ascii: "{"))
            for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                JSONText.append(member.key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                write(member.value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }
}

enum JSONBodyProperties {
    private static let maximumCount = 20

    static func check(_ input: [UInt8]) throws {
        guard let value = JSONValue(parsing: input) else { return }
        try checkDraft(value)
        try checkList(value)
        try checkAnswers(value)
    }

    private static func checkDraft(_ value: JSONValue) throws {
        let draft: RelayDomainDraft
        do throws(InvalidBody) { draft = try RelayDomainDraft(json: value) } catch { return try checkFaults(error) }
        try require(draft.comment.utf8.count <= RelayDomainDraft.maximumCommentLength, "a comment beyond its bound")
        try requirePlain(draft.owner, "an owner")
        try require(try RelayDomainDraft(json: written { draft.write(to: &$0) }), equals: draft, "a draft, and written again")
    }

    private static func checkList(_ value: JSONValue) throws {
        let list: [(DomainName, RelayDomainDraft)]
        do throws(InvalidBody) { list = try RelayDomainDraft.list(json: value, maximumCount: maximumCount) } catch { return try checkFaults(error) }
        try require(list.count <= maximumCount && Set(list.map(\.0)).count == list.count, "domains listed twice")
        let again = try RelayDomainDraft.list(
            json: written { RelayDomainDraft.write(list: list.map { (domain: $0.0, draft: $0.1) }, to: &$0) }, maximumCount: maximumCount)
        try require(again.map(\.0), equals: list.map(\.0), "domains, and written again")
        try require(again.map(\.1), equals: list.map(\.1), "drafts, and written again")
    }

    private static func checkFaults(_ error: InvalidBody) throws {
        try require((1...InvalidBody.maximumFaults + 5).contains(error.faults.count), "\(error.faults.count) faults")
        for fault in error.faults {
            try require(fault.pointer.hasPrefix("#"), "a fault without its place: \(fault)")
            let isFragment = fault.pointer.utf8.allSatisfy { (0x21...0x7e).contains($0) }
            try require(isFragment && fault.pointer.utf8.count <= 300, "a pointer that is none: \(fault.pointer.debugDescription)")
            try requirePlain(fault.detail, "a fault")
        }
    }

    /// What a server answers is read or refused, with the place.
    private static func checkAnswers(_ value: JSONValue) throws {
        try checkAnswer(value, { (value) throws(InvalidAnswer) in try RelayDomain(answer: value) }, { $0.write(to: &$1) })
        try checkAnswer(value, { (value) throws(InvalidAnswer) in try Flush(answer: value) }, { $0.write(to: &$1) })
        try checkAnswer(value, { (value) throws(InvalidAnswer) in try DomainDetail(answer: value) }, { $0.write(to: &$1) })
        try checkAnswer(
            value, { (value) throws(InvalidAnswer) in try MessageDescription(answer: value) }, { $0.write(to: &$1, withHistory: true) })
        if let error = ProblemAnswer(value, status: 409)?.error {
            try require(FlushProblem(error).error, equals: error, "an error of the core, and told again")
        }
        _ = try? KeptReport(answer: value)
        _ = try? KeptReport.page(answer: value)
        _ = try? RelayDomain.page(answer: value)
        _ = try? Flush.page(answer: value)
        _ = try? DomainSummary.page(answer: value)
        _ = try? MessageDescription.page(answer: value)
        _ = try? RelayDomainDifference(answer: value)
    }

    private static func checkAnswer<Item: Equatable>(
        _ value: JSONValue, _ read: (JSONValue) throws(InvalidAnswer) -> Item, _ write: (Item, inout JSONWriter) -> Void
    ) throws {
        let item: Item
        do throws(InvalidAnswer) { item = try read(value) } catch { return }
        let again: Item
        do throws(InvalidAnswer) { again = try read(written { write(item, &$0) }) } catch {
            throw Violation(description: "an answer that is not read again: \(error): \(item)")
        }
        try require(again, equals: item, "an answer, and written again")
    }

    private static func written(_ body: (inout JSONWriter) -> Void) -> JSONValue {
        var writer = JSONWriter()
        body(&writer)
        return JSONValue(parsing: writer.bytes) ?? .null
    }
}
