// Relay domains as openapi.yaml has them, in both directions.

import FlushCore
import JSONText

extension RelayDomain {
    public func write(to writer: inout JSONWriter) {
        writer.object { json in
            json.field("domain", domain.description)
            json.field("next_hop", nextHop.description)
            json.field("delivery", delivery.rawValue)
            json.field("state", state.rawValue)
            json.field("comment", comment)
            json.field("owner", owner)
            json.field("version", version)
            json.field("created_at", createdAt)
            json.field("updated_at", updatedAt)
            json.field("updated_by", updatedBy)
        }
    }
}

extension RelayDomainDifference {
    public func write(to writer: inout JSONWriter, dryRun: Bool) {
        func write(_ name: StaticString, _ domains: [DomainName], to json: inout JSONWriter) {
            json.name(name)
            json.array { json in
                for domain in domains { json.value(domain.description) }
            }
        }
        writer.object { json in
            json.field("dry_run", dryRun)
            write("created", added, to: &json)
            write("updated", changed, to: &json)
            write("removed", removed, to: &json)
            json.field("unchanged", unchanged)
        }
    }
}

extension RelayDomainDraft {
    public static let maximumCommentLength = 1_000
    public static let maximumOwnerLength = 255

    /// Reads the body of `PUT /relay-domains/{domain}`.
    public init(json: JSONValue) throws(InvalidBody) {
        var reader = JSONObjectReader(json, at: "#", known: ["next_hop", "delivery", "state", "comment", "owner"])
        let owner = reader.text("owner", maximumLength: Self.maximumOwnerLength)
        let draft = Self.read(&reader, owner: owner)
        guard reader.faults.isEmpty, let draft else { throw InvalidBody(faults: reader.faults) }
        self = draft
    }

    /// Reads the body of `PUT /relay-domains`, which names the owner elsewhere.
    public static func list(json: JSONValue, maximumCount: Int) throws(InvalidBody) -> [(DomainName, RelayDomainDraft)] {
        var object = JSONObjectReader(json, at: "#", known: ["relay_domains"])
        let items = object.array("relay_domains", maximumCount: maximumCount)
        var faults = object.faults
        var seen: Set<DomainName> = []
        var drafts: [(DomainName, RelayDomainDraft)] = []
        for (place, item) in items.enumerated() {
            guard faults.count < InvalidBody.maximumFaults else { break }
            var reader = JSONObjectReader(item, at: "#/relay_domains/\(place)", known: ["domain", "next_hop", "delivery", "state", "comment"])
            let domain = reader.parsed("domain", maximumLength: 4 * DomainName.maximumLength) { (text) throws(InvalidDomainName) in
                try DomainName(parsing: text)
            }
            let draft = read(&reader, owner: nil)
            if let domain, !seen.insert(domain).inserted { reader.fault("domain", "\(domain) is listed twice") }
            faults += reader.faults
            if let domain, let draft { drafts.append((domain, draft)) }
        }
        guard faults.isEmpty else { throw InvalidBody(faults: Array(faults.prefix(InvalidBody.maximumFaults))) }
        return drafts
    }

    private static func read(_ reader: inout JSONObjectReader, owner: String?) -> RelayDomainDraft? {
        let nextHop = reader.parsed("next_hop", maximumLength: 300) { (text) throws(InvalidNextHop) in try NextHop(parsing: text) }
        let delivery: RelayDomain.Delivery? = reader.choice("delivery")
        let state: RelayDomain.State? = reader.choice("state")
        let comment = reader.text("comment", maximumLength: maximumCommentLength)
        guard let nextHop else { return nil }
        return RelayDomainDraft(
            nextHop: nextHop, delivery: delivery ?? .normal, state: state ?? .active, comment: comment ?? "", owner: owner ?? "")
    }
}
