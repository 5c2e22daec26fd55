// Delivery on request: ETRN's work, as the queue sees it.

import DiskPort
import FlushCore
import HashTreeCollections
import Logging

extension SpoolQueue {
    /// How many files one piece of disk work moves.
    private static let movesPerJob = 256

    public func trouble() async -> String? { isServing ? nil : "the queue is not running" }

    public nonisolated var isKnownToBeReady: Bool { atHand(on: executor) { $0.isServing } ?? false }

    public func release(
        _ ids: [QueueID], by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async throws(MailQueueError) -> [ReleaseResult] {
        if let trouble = await trouble() { throw .unavailable(trouble) }
        forgetDeadSites(for: selector, by: flush)
        var results = [ReleaseResult](repeating: .vanished, count: ids.count)
        for start in stride(from: 0, to: ids.count, by: Self.movesPerJob) {
            var claimed: [Claim] = []
            for position in start..<min(start + Self.movesPerJob, ids.count) {
                let id = ids[position]
                // Not known, or stopped by hand: the disk may say otherwise by now.
                if needsAnotherLook(id) { await refresh(id) }
                if let result = claim(id, at: position, for: selector, into: &claimed) { results[position] = result }
            }
            await release(claimed, by: flush, unthrottle: unthrottle, into: &results)
        }
        return results
    }

    /// A flush of everything tries every next hop, those found dead included, each of them once: Postfix's `F`.
    private func forgetDeadSites(for selector: FlushSelector, by flush: FlushID?) {
        guard selector == .everything, let flush, flush != lastWholeFlush else { return }
        lastWholeFlush = flush
        sites = SiteStates()
    }

    /// A message that is about to be released; its entry is `moving`.
    private struct Claim: Sendable {
        var position: Int
        var id: QueueID
        var domains: [DomainName]?
        var folder: SpoolFolder
    }

    private func needsAnotherLook(_ id: QueueID) -> Bool {
        // While its file is being looked at it is neither in delivery nor gone.
        if looks[id] != nil { return true }
        guard let entry = entries[id] else { return !arriving.contains(id) }
        return entry.folder == .hold && entry.activity == .idle
    }

    /// Takes a message for its release; else the result that it has already.
    private func claim(_ id: QueueID, at position: Int, for selector: FlushSelector, into claimed: inout [Claim]) -> ReleaseResult? {
        guard let entry = entries[id], entry.hasPending else { return .vanished }
        let meant = meant(by: selector, id: id, entry)
        guard meant?.isEmpty != true else { return .vanished }
        guard entry.folder != .hold else { return .held }
        switch entry.activity {
        case .attempt: return .inDelivery
        case .moving: return .inDelivery
        case .idle where arriving.contains(id): return .inDelivery
        // Its report comes first: `finishOwedReports` is about to have it in hand.
        case .idle where phase == .filling && entry.owesReport: return .inDelivery
        case .idle, .inLine:
            entries[id]?.activity = .moving
            claimed.append(Claim(position: position, id: id, domains: meant, folder: entry.folder))
            return nil
        }
    }

    /// The domains that a selector means; nil for a report's recipient, empty when it means none.
    private func meant(by selector: FlushSelector, id: QueueID, _ entry: Entry) -> [DomainName]? {
        switch selector {
        case .everything: return entry.isReport ? nil : entry.domains
        case .message(let wanted): return wanted != id ? [] : entry.isReport ? nil : entry.domains
        case .domain(let domain, let subdomains):
            let meant = entry.domains.filter { $0 == domain || subdomains && $0.isSubdomain(of: domain) }
            return entry.isReport && !meant.isEmpty ? nil : meant
        }
    }

    private func release(_ claims: [Claim], by flush: FlushID?, unthrottle: Bool, into results: inout [ReleaseResult]) async {
        guard !claims.isEmpty else { return }
        let failures = await pool.run { [directory] in
            claims.map { claim -> SpoolError? in
                do throws(SpoolError) {
                    try directory.move(claim.id, from: claim.folder, to: .incoming)
                    return nil
                } catch { return error }
            }
        }
        for (claim, failure) in zip(claims, failures) {
            entries[claim.id]?.activity = .idle
            guard let failure else {
                entries[claim.id]?.folder = .incoming
                if unthrottle { forgetSuspensions(of: claim) }
                begin(claim.id, domains: claim.domains, flush: flush, unthrottle: unthrottle)
                if let entry = entries[claim.id] { tell(.queued(queued(claim.id, entry))) }
                results[claim.position] = .released
                continue
            }
            if failure.isMissing {
                await refresh(claim.id)
                results[claim.position] = entries[claim.id].map { $0.folder == .hold ? .held : .failed(reason: "it was moved by hand") } ?? .vanished
            } else {
                logger.error("message not released", metadata: ["queue_id": "\(claim.id)", "error": "\(failure)"])
                results[claim.position] = .failed(reason: "\(failure)")
                plan(claim.id)
            }
        }
        pump()
    }

    private func forgetSuspensions(of claim: Claim) {
        guard let domains = claim.domains else {
            if let relayhost = parameters.relayhost { sites.endSuspension(of: relayhost) }
            return
        }
        for domain in domains {
            if let route = routes.route(for: domain) { sites.endSuspension(of: route.nextHop) }
        }
    }

    /// Looks where a message is on the disk, and makes the entry agree. Only messages that nobody works on change.
    ///
    /// One look at a time: who asks for a second waits for the first, and does not make an entry of what has left meanwhile.
    func refresh(_ id: QueueID) async {
        guard looks[id] == nil else {
            return await withCheckedContinuation { waiter in
                // Asked again: the look may have ended on the way here, because a task may be enqueued anew by a continuation.
                guard looks[id]?.append(waiter) != nil else { return waiter.resume() }
            }
        }
        if let entry = entries[id] {
            guard entry.activity == .idle || entry.activity == .inLine else { return }
            entries[id]?.activity = .moving
        } else if arriving.contains(id) {
            return
        }
        if phase == .filling { lookedAt.insert(id) }
        looks[id] = []
        await look(at: id)
        for waiter in looks.removeValue(forKey: id) ?? [] { waiter.resume() }
    }

    /// The entry is `moving`, or there is none.
    private func look(at id: QueueID) async {
        let known = entries[id]?.folder
        let found = await pool.run { [directory] () -> (SpoolFolder, Result<SpoolRecord, SpoolError>)? in
            guard let folder = directory.locate(id) else { return nil }
            if folder == known { return (folder, .failure(.system(operation: "", code: 0))) }
            do throws(SpoolError) { return (folder, .success(try directory.load(id, in: folder))) } catch { return (folder, .failure(error)) }
        }
        defer { if entries[id]?.activity == .moving { entries[id]?.activity = .idle } }
        guard let (folder, record) = found else {
            if entries.removeValue(forKey: id) != nil { tell(.left(id)) }
            unsynced[id] = nil
            return
        }
        guard folder != known else { return plan(id) }
        switch record {
        case .success(var record):
            guard entries[id] == nil || entries[id]?.activity == .moving, !arriving.contains(id) else { return }
            record.envelope = merged(record.envelope)
            adopt(id, record, in: folder)
            if let entry = entries[id] { tell(.queued(queued(id, entry))) }
        case .failure(.damaged(let detail)):
            if await setAside(id, from: folder, detail: detail), entries.removeValue(forKey: id) != nil { tell(.left(id)) }
        case .failure(let error):
            logger.error("queue file cannot be read", metadata: ["queue_id": "\(id)", "error": "\(error)"])
        }
    }
}
