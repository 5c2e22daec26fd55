// What endpoints read of a request besides its query.

import FlushCore
import FlushWire
import HTTPServer
import HTTPTypes

extension Request {
    func pathDomain() throws(Problem) -> DomainName {
        do { return try DomainName(parsing: parameters["domain"] ?? "") } catch {
            throw Problem(faults: [.init(pointer: "path:domain", detail: "\(error)")])
        }
    }

    func pathQueueID() throws(Problem) -> QueueID {
        guard let id = QueueID(parameters["queue_id"] ?? "") else {
            throw Problem(faults: [.init(pointer: "path:queue_id", detail: "a queue ID has 1 to 255 letters, digits and underscores")])
        }
        return id
    }

    func pathFlushID() throws(Problem) -> FlushID {
        guard let id = FlushID(parameters["id"] ?? "") else {
            throw Problem(
                faults: [.init(pointer: "path:id", detail: "a flush ID has 26 characters of 0-9 and A-Z without I, L, O and U, the first at most 7")])
        }
        return id
    }

    /// Refuses a body where none is read: whoever sends one expects something of it.
    func refuseBody() throws(Problem) {
        guard body.isEmpty else {
            throw Problem(faults: [.init(pointer: "#", detail: "this request takes no body; its options are query parameters")])
        }
    }

    func jsonBody() throws(Problem) -> JSONValue {
        let type = field(.contentType)?.split(separator: ";").first?.trimmingSpaces().lowercased()
        guard type == "application/json" else {
            throw Problem(
                kind: .mediaType, status: .unsupportedMediaType,
                detail: "The body must be JSON with Content-Type: application/json, not \(type.map { "\"\($0.prefix(100))\"" } ?? "without one").")
        }
        guard let value = JSONValue(parsing: body) else {
            throw Problem(faults: [.init(pointer: "#", detail: "the body is no JSON document in UTF-8")])
        }
        return value
    }

    /// Whether `If-None-Match` names this tag (weak comparison, RFC 9110, section 13.1.2).
    func hasCurrent(tag: String) -> Bool {
        guard let field = field(.ifNoneMatch) else { return false }
        guard field != "*" else { return true }
        return (EntityTags(field)?.tags ?? []).contains { $0.text == tag }
    }

    /// What `If-Match` and `If-None-Match` ask of a change; both may be given (RFC 9110, section 13.2.2).
    func versionConditions() throws(Problem) -> [VersionCondition] {
        var conditions: [VersionCondition] = []
        if let text = field(.ifMatch) {
            // Strong comparison (section 13.1.1): a weak tag matches nothing.
            conditions.append(text == "*" ? .exists : .oneOf(try tags(.ifMatch, text).filter { !$0.isWeak }.map(\.text)))
        }
        if let text = field(.ifNoneMatch) {
            conditions.append(text == "*" ? .absent : .noneOf(try tags(.ifNoneMatch, text).map(\.text)))
        }
        return conditions
    }

    private func tags(_ name: HTTPField.Name, _ text: String) throws(Problem) -> [(text: String, isWeak: Bool)] {
        guard let list = EntityTags(text) else {
            throw Problem(faults: [.init(pointer: "header:\(name.rawName)", detail: "must be * or a list of ETags")])
        }
        return list.tags
    }
}

/// A list of entity tags (RFC 9110, section 8.8.3).
struct EntityTags {
    var tags: [(text: String, isWeak: Bool)] = []

    /// Nil when the text is no such list.
    init?(_ text: String) {
        var rest = Substring(text)
        while true {
            rest = rest.trimmingSpaces()
            let isWeak = rest.hasPrefix("W/")
            if isWeak { rest = rest.dropFirst(2) }
            guard rest.first == "\"", let close = rest.dropFirst().firstIndex(of: "\"") else { return nil }
            let tag = rest[rest.index(after: rest.startIndex)..<close]
            guard tag.utf8.allSatisfy({ $0 == 0x21 || ($0 >= 0x23 && $0 != 0x7F) }) else { return nil }
            tags.append((String(tag), isWeak))
            rest = rest[rest.index(after: close)...].trimmingSpaces()
            guard !rest.isEmpty else { return }
            guard rest.first == "," else { return nil }
            rest = rest.dropFirst()
        }
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> Substring {
        var text = self.drop { $0 == " " || $0 == "\t" }
        while text.last == " " || text.last == "\t" { text = text.dropLast() }
        return text
    }
}
