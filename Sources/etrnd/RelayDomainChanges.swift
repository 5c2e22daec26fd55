// Tells the spool when relay domains have changed, so that mail whose way has changed is looked at.

import FlushCore
import SpoolQueue
import Synchronization

/// The core's relay domains; a change also makes the spool look at waiting mail again: what waited to be asked for may go by itself now.
final class RelayDomainChanges: RelayDomainService {
    /// Changes within this time are one for the spool, which looks at every message: provisioning comes in thousands.
    private static let gathering = Duration.seconds(1)

    private let core: FlushServer
    private let spool: SpoolQueue
    private let isTelling = Mutex(false)

    init(core: FlushServer, spool: SpoolQueue) {
        self.core = core
        self.spool = spool
    }

    func relayDomains(after domain: DomainName?, owner: String?, limit: Int) async -> [RelayDomain] {
        await core.relayDomains(after: domain, owner: owner, limit: limit)
    }

    func relayDomain(_ domain: DomainName) async -> RelayDomain? { await core.relayDomain(domain) }

    func putRelayDomain(
        _ draft: RelayDomainDraft, for domain: DomainName, by author: String, if conditions: [VersionCondition]
    ) async throws(FlushError) -> (relayDomain: RelayDomain, isNew: Bool) {
        let result = try await core.putRelayDomain(draft, for: domain, by: author, if: conditions)
        changed()
        return result
    }

    func removeRelayDomain(_ domain: DomainName, force: Bool, if conditions: [VersionCondition]) async throws(FlushError) -> Bool {
        let wasThere = try await core.removeRelayDomain(domain, force: force, if: conditions)
        if wasThere { changed() }
        return wasThere
    }

    func replaceRelayDomains(
        _ drafts: [DomainName: RelayDomainDraft], owner: String, by author: String, maximumRemovals: Int?, dryRun: Bool
    ) async throws(FlushError) -> RelayDomainDifference {
        let difference = try await core.replaceRelayDomains(
            drafts, owner: owner, by: author, maximumRemovals: maximumRemovals, dryRun: dryRun)
        if !dryRun { changed() }
        return difference
    }

    private func changed() {
        let isFirst = isTelling.withLock { isTelling in
            defer { isTelling = true }
            return !isTelling
        }
        guard isFirst else { return }
        Task {
            try? await Task.sleep(for: Self.gathering)
            isTelling.withLock { $0 = false }
            await spool.routesChanged()
        }
    }
}
