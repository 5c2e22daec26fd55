// Provisioning relay domains.

import CurlTransport
import FlushCore
import FlushWire

extension APIClient {
    /// `GET /relay-domains`
    public func relayDomains(cursor: String? = nil, limit: Int = 100) async throws(FlushClientError) -> AnswerPage<RelayDomain> {
        var endpoint = Endpoint("GET", "relay-domains")
        endpoint.query("limit", limit)
        endpoint.query("cursor", cursor)
        return try await exchange.read(endpoint) { (answer) throws(InvalidAnswer) in try RelayDomain.page(answer: answer) }
    }

    /// `GET /relay-domains/{domain}`
    public func relayDomain(_ domain: DomainName) async throws(FlushClientError) -> RelayDomain? {
        try await optional { () async throws(FlushClientError) in
            try await exchange.read(Endpoint("GET", "relay-domains", domain.description)) { (answer) throws(InvalidAnswer) in
                try RelayDomain(answer: answer)
            }
        }
    }

    /// `PUT /relay-domains/{domain}`
    public func putRelayDomain(
        _ draft: RelayDomainDraft, for domain: DomainName, if conditions: [VersionCondition] = []
    ) async throws(FlushClientError) -> (relayDomain: RelayDomain, isNew: Bool) {
        var endpoint = Endpoint("PUT", "relay-domains", domain.description)
        endpoint.fields = ConditionFields(conditions).fields
        endpoint.json { draft.write(to: &$0) }
        let (status, answer) = try await exchange.document(endpoint)
        do { return (try RelayDomain(answer: answer), status == 201) } catch {
            throw .foreignAnswer(url: exchange.url(of: endpoint), status: status, reason: "\(error)")
        }
    }

    /// `DELETE /relay-domains/{domain}`
    ///
    /// - Returns: false when there was none.
    public func removeRelayDomain(
        _ domain: DomainName, force: Bool = false, if conditions: [VersionCondition] = []
    ) async throws(FlushClientError) -> Bool {
        var endpoint = Endpoint("DELETE", "relay-domains", domain.description)
        endpoint.fields = ConditionFields(conditions).fields
        endpoint.query("force", force)
        return try await optional { [endpoint] () async throws(FlushClientError) in try await exchange.order(endpoint) } != nil
    }

    /// `PUT /relay-domains`
    public func replaceRelayDomains(
        _ drafts: [DomainName: RelayDomainDraft], owner: String, maximumRemovals: Int? = nil, dryRun: Bool = false
    ) async throws(FlushClientError) -> RelayDomainDifference {
        var endpoint = Endpoint("PUT", "relay-domains")
        endpoint.query("owner", owner)
        endpoint.query("dry_run", dryRun)
        endpoint.query("max_delete", maximumRemovals)
        let sorted = drafts.sorted { $0.key < $1.key }.map { (domain: $0.key, draft: $0.value) }
        endpoint.json { RelayDomainDraft.write(list: sorted, to: &$0) }
        return try await exchange.read(endpoint) { (answer) throws(InvalidAnswer) in try RelayDomainDifference(answer: answer) }
    }
}

/// Conditions on a version as fields (RFC 9110, section 13.1). Several of a kind become the one that says the same.
private struct ConditionFields {
    private(set) var fields: [CurlHTTPRequest.Field] = []

    init(_ conditions: [VersionCondition]) {
        var wanted: Set<String>?
        var unwanted: Set<String> = []
        var mustExist = false
        var mustNotExist = false
        for condition in conditions {
            switch condition {
            case .oneOf(let tags): wanted = wanted?.intersection(tags) ?? Set(tags)
            case .noneOf(let tags): unwanted.formUnion(tags)
            case .exists: mustExist = true
            case .absent: mustNotExist = true
            }
        }
        if let wanted {
            // A weak tag matches nothing here (section 13.1.1): what says "none of them" when none can be written.
            let tags = wanted.filter(Self.isTag).sorted().map { "\"\($0)\"" }
            fields.append(.init("If-Match", tags.isEmpty ? #"W/"none""# : tags.joined(separator: ", ")))
        } else if mustExist {
            fields.append(.init("If-Match", "*"))
        }
        if mustNotExist {
            fields.append(.init("If-None-Match", "*"))
        } else if !unwanted.isEmpty {
            let tags = unwanted.filter(Self.isTag).sorted().map { "\"\($0)\"" }
            if !tags.isEmpty { fields.append(.init("If-None-Match", tags.joined(separator: ", "))) }
        }
    }

    /// What cannot stand in a field is the tag of no version.
    private static func isTag(_ text: String) -> Bool {
        text.utf8.count <= 200 && text.utf8.allSatisfy { $0 == 0x21 || (0x23...0x7E).contains($0) }
    }
}
