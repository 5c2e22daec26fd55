// Provisioning, asked over HTTP.

import FlushCore
import FlushWire

extension FlushClient {
    public func relayDomains(after domain: DomainName?, owner: String?, limit: Int) async throws(FlushError) -> [RelayDomain] {
        guard let owner else {
            return try await pages(from: domain?.description, limit: limit) { (cursor, limit) throws(FlushClientError) in
                try await api.relayDomains(cursor: cursor, limit: limit)
            }
        }
        // The API's list has everybody's: what is another owner's is left out here.
        var found: [RelayDomain] = []
        var cursor = domain?.description
        while found.count < limit {
            let from = cursor
            let page = try await asking { () async throws(FlushClientError) in
                try await api.relayDomains(cursor: from, limit: APIClient.longestPage)
            }
            found += page.items.filter { $0.owner == owner }
            guard let next = page.next, !page.items.isEmpty else { break }
            cursor = next
        }
        return Array(found.prefix(limit))
    }

    public func relayDomain(_ domain: DomainName) async throws(FlushError) -> RelayDomain? {
        try await asking { () async throws(FlushClientError) in try await api.relayDomain(domain) }
    }

    public func putRelayDomain(
        _ draft: RelayDomainDraft, for domain: DomainName, by author: String, if conditions: [VersionCondition]
    ) async throws(FlushError) -> (relayDomain: RelayDomain, isNew: Bool) {
        try await asking { () async throws(FlushClientError) in try await api.putRelayDomain(draft, for: domain, if: conditions) }
    }

    public func removeRelayDomain(_ domain: DomainName, force: Bool, if conditions: [VersionCondition]) async throws(FlushError) -> Bool {
        try await asking { () async throws(FlushClientError) in try await api.removeRelayDomain(domain, force: force, if: conditions) }
    }

    public func replaceRelayDomains(
        _ drafts: [DomainName: RelayDomainDraft], owner: String, by author: String, maximumRemovals: Int?, dryRun: Bool
    ) async throws(FlushError) -> RelayDomainDifference {
        try await asking { () async throws(FlushClientError) in
            try await api.replaceRelayDomains(drafts, owner: owner, maximumRemovals: maximumRemovals, dryRun: dryRun)
        }
    }
}
