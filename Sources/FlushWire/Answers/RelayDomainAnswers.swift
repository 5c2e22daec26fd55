// Relay domains out of answers, and desired states as bodies.

import FlushCore
import JSONText

extension RelayDomain {
    public init(answer: JSONValue) throws(InvalidAnswer) { try self.init(AnswerReader(answer)) }

    public static func page(answer: JSONValue) throws(InvalidAnswer) -> AnswerPage<RelayDomain> {
        try AnswerPage(answer, "relay_domains") { (reader) throws(InvalidAnswer) in try RelayDomain(reader) }
    }

    private init(_ reader: AnswerReader) throws(InvalidAnswer) {
        self.init(
            domain: try reader.parsed("domain") { DomainName($0) }, nextHop: try reader.parsed("next_hop") { try? NextHop(parsing: $0) },
            delivery: try reader.choice("delivery"), state: try reader.choice("state"), comment: try reader.text("comment"),
            owner: try reader.text("owner"), version: try reader.count("version"), createdAt: try reader.time("created_at"),
            updatedAt: try reader.time("updated_at"), updatedBy: try reader.text("updated_by"))
    }
}

extension RelayDomainDifference {
    public init(answer: JSONValue) throws(InvalidAnswer) {
        let reader = try AnswerReader(answer)
        self.init(
            added: try reader.texts("created") { DomainName($0) }, changed: try reader.texts("updated") { DomainName($0) },
            removed: try reader.texts("removed") { DomainName($0) }, unchanged: try reader.count("unchanged"))
    }
}

extension RelayDomainDraft {
    /// The body of `PUT /relay-domains/{domain}`.
    public func write(to writer: inout JSONWriter) {
        writer.object { json in
            writeMembers(to: &json)
            json.field("owner", owner)
        }
    }

    /// The body of `PUT /relay-domains`, which names the owner elsewhere.
    public static func write(list drafts: [(domain: DomainName, draft: RelayDomainDraft)], to writer: inout JSONWriter) {
        writer.object { json in
            json.name("relay_domains")
            json.array { json in
                for (domain, draft) in drafts {
                    json.object { json in
                        json.field("domain", domain.description)
                        draft.writeMembers(to: &json)
                    }
                }
            }
        }
    }

    private func writeMembers(to json: inout JSONWriter) {
        json.field("next_hop", nextHop.description)
        json.field("delivery", delivery.rawValue)
        json.field("state", state.rawValue)
        json.field("comment", comment)
    }
}
