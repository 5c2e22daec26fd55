// Provisioning: the store first, then memory; one change at a time.

import DequeModule

extension FlushServer {
    public func relayDomains(after domain: DomainName?, owner: String?, limit: Int) -> [RelayDomain] {
        relayDomainDirectory.page(after: domain, owner: owner, limit: limit)
    }

    public func relayDomain(_ domain: DomainName) -> RelayDomain? { relayDomainDirectory[domain] }

    public func putRelayDomain(
        _ draft: RelayDomainDraft, for domain: DomainName, by author: String, if conditions: [VersionCondition]
    ) async throws(FlushError) -> (relayDomain: RelayDomain, isNew: Bool) {
        await beginChange()
        defer { endChange() }
        let current = relayDomainDirectory[domain]
        try check(conditions, against: current, domain)
        let wanted = merge(draft, into: current, domain, by: author)
        guard wanted != current else { return (wanted, false) }
        try await store(put: [wanted], remove: [])
        return (wanted, current == nil)
    }

    public func removeRelayDomain(_ domain: DomainName, force: Bool, if conditions: [VersionCondition]) async throws(FlushError) -> Bool {
        await waitForFirstScan()
        await beginChange()
        defer { endChange() }
        let current = relayDomainDirectory[domain]
        try check(conditions, against: current, domain)
        guard current != nil else { return false }
        let waiting = messagesRelying(on: domain)
        guard force || waiting == 0 else { throw .mailQueued(domain, messages: waiting) }
        try await store(put: [], remove: [domain])
        return true
    }

    public func replaceRelayDomains(
        _ drafts: [DomainName: RelayDomainDraft], owner: String, by author: String, maximumRemovals: Int?, dryRun: Bool
    ) async throws(FlushError) -> RelayDomainDifference {
        await waitForFirstScan()
        await beginChange()
        defer { endChange() }
        let all = relayDomainDirectory.all()
        var difference = RelayDomainDifference(added: [], changed: [], removed: [], unchanged: 0)
        var put: [RelayDomain] = []
        for (domain, draft) in drafts.sorted(by: { $0.key < $1.key }) {
            let current = all[domain]
            if let current, current.owner != owner { throw .ownedByOther(domain, owner: current.owner) }
            var owned = draft
            owned.owner = owner
            let wanted = merge(owned, into: current, domain, by: author)
            if wanted == current {
                difference.unchanged += 1
            } else {
                put.append(wanted)
                if current == nil { difference.added.append(domain) } else { difference.changed.append(domain) }
            }
        }
        difference.removed = all.values.filter { $0.owner == owner && drafts[$0.domain] == nil }.map(\.domain).sorted()
        if let maximumRemovals, difference.removed.count > maximumRemovals {
            throw .tooManyRemovals(count: difference.removed.count, allowed: maximumRemovals)
        }
        for domain in difference.removed {
            let waiting = messagesRelying(on: domain)
            guard waiting == 0 else { throw .mailQueued(domain, messages: waiting) }
        }
        if !dryRun, !put.isEmpty || !difference.removed.isEmpty { try await store(put: put, remove: difference.removed) }
        return difference
    }

    /// Lets one change at a time look and write, in the order in which they came.
    private func beginChange() async {
        guard isChangingRelayDomains else {
            isChangingRelayDomains = true
            return
        }
        await withCheckedContinuation { turn in
            // Asked again, as in `wait`: the change may have ended on the way here.
            guard isChangingRelayDomains else {
                isChangingRelayDomains = true
                return turn.resume()
            }
            relayDomainTurns.append(turn)
        }
    }

    private func endChange() {
        if let next = relayDomainTurns.popFirst() { next.resume() } else { isChangingRelayDomains = false }
    }

    private func check(_ conditions: [VersionCondition], against current: RelayDomain?, _ domain: DomainName) throws(FlushError) {
        guard conditions.allSatisfy({ $0.holds(for: current) }) else { throw .versionMismatch(domain, current: current?.version) }
    }

    private func merge(_ draft: RelayDomainDraft, into current: RelayDomain?, _ domain: DomainName, by author: String) -> RelayDomain {
        let now = time.now
        var wanted =
            current ?? RelayDomain(domain: domain, nextHop: draft.nextHop, version: 0, createdAt: now, updatedAt: now, updatedBy: author)
        wanted.nextHop = draft.nextHop
        wanted.delivery = draft.delivery
        wanted.state = draft.state
        wanted.comment = draft.comment
        wanted.owner = draft.owner
        guard wanted != current else { return wanted }
        wanted.version += 1
        wanted.updatedAt = now
        wanted.updatedBy = author
        return wanted
    }

    private func store(put: [RelayDomain], remove: [DomainName]) async throws(FlushError) {
        do { try await relayDomainStore.apply(put: put, remove: remove) } catch {
            throw .queueUnavailable(reason: "the relay domains: \(error)")
        }
        relayDomainDirectory.change(put: put, remove: remove)
        let now = time.now
        for relayDomain in put { pin(relayDomain.domain, at: now) }
        for domain in remove {
            index.pin(domain, policy.fastFlushDomains.literalDomains.contains(domain), at: now)
            if index.record(domain) == nil { lastFlushes[domain] = nil }
        }
    }

    /// The messages whose way this relay domain is: for itself, and for subdomains that have no relay domain of their own.
    private func messagesRelying(on domain: DomainName) -> Int {
        index.records(of: domain, subdomains: true)
            .filter { relayDomainDirectory.covering($0.name)?.domain == domain }
            .reduce(0) { $0 + $1.messages }
    }
}
