// Tells the engine when relay domains have changed, so that mail whose way has changed is looked at.

import FlushCore
import Synchronization

/// The core's relay domains; a change also makes the engine look at waiting mail again: what waited to be asked for may go by itself now.
final class RelayDomainChanges: RelayDomainService {
    /// Changes within this time are one for the engine, which looks at every message: provisioning comes in thousands.
    private static let gathering = Duration.seconds(1)

    private let core: FlushServer
    private let engine: any Engine
    private let isTelling = Mutex(false)

    init(core: FlushServer, engine: any Engine) {
        self.core = core
        self.engine = engine
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
            await engine.routesChanged()
        }
    }
}
