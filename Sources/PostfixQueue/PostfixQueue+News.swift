// From moves between directories to the core's events.

import DispatchSockets
import FlushCore
import Logging

extension PostfixQueue {
    /// What is known of a message with news before the disk is looked at.
    private struct Expectation: Sendable {
        var id: QueueID
        /// The open release, when there is one.
        var release: UInt64?
        /// The moves show that an attempt has ended.
        var hasEnded: Bool
        /// If it is not in delivery now, an attempt has ended.
        var isAway: Bool
    }

    /// Looks at every message with news and tells what it is now.
    func takeNews() async {
        let batch = watch.take()
        if batch.hasOverflowed {
            await channel.send(.rescanNeeded)
            // Their ends may be among what was lost.
            watch.mark(Array(releases.keys))
        }
        for start in stride(from: 0, to: batch.changes.count, by: Limits.looksPerJob) {
            guard phase == .running else { return }
            let expected = batch.changes[start..<min(start + Limits.looksPerJob, batch.changes.count)].map { expect($0.id, $0.change) }
            let looks = await pool.run { [directory] in
                expected.map { directory.look(for: $0.id, withReasons: $0.hasEnded || $0.isAway) }
            }
            for (expectation, look) in zip(expected, looks) { await tell(expectation, look) }
        }
    }

    /// Goes through the moves, in their order.
    private func expect(_ id: QueueID, _ change: QueueWatch.Change) -> Expectation {
        var hasEnded = false
        var isOwnAttempt = false
        for step in change.steps {
            switch step {
            case .left(.active): isOwnAttempt = true
            case .left: break
            case .entered(let folder):
                switch (folder, releases[id]?.phase) {
                // Our own rename; what came before it belongs to an older attempt.
                case (.incoming, .moving): releases[id]?.phase = .away
                case (.deferred, .away), (.hold, .away): hasEnded = true
                case (.deferred, nil): hasEnded = hasEnded || isOwnAttempt
                default: break
                }
                isOwnAttempt = false
            }
        }
        let release = releases[id]
        let isAway = release.map { $0.phase == .away || ($0.hasMoved && change.isUnsure) } ?? false
        return Expectation(id: id, release: release?.number, hasEnded: hasEnded, isAway: isAway)
    }

    private func tell(_ expectation: Expectation, _ look: QueueDirectory.Look) async {
        let id = expectation.id
        // The look is older than a release that was made since.
        let release = releases[id].flatMap { $0.number == expectation.release ? $0 : nil }
        switch look {
        case .found(let folder, let pending, let reasons):
            let message = pending.message(id, in: folder)
            let hasEnded = expectation.hasEnded || (expectation.isAway && folder.place != .inDelivery)
            guard hasEnded else { return await channel.send(.queued(message)) }
            if release != nil { releases[id] = nil }
            await channel.send(
                .attempted(DeliveryAttempt(id: id, flush: release?.flush, remaining: message, outcomes: outcomes(pending, reasons))))
        case .gone:
            guard let release else { return await channel.send(.left(id)) }
            // Unless the move is still under way, and the file is between two directories for an observer that reads them one by one.
            guard expectation.isAway || expectation.hasEnded || release.hasMoved else { return }
            releases[id] = nil
            await channel.send(.attempted(DeliveryAttempt(id: id, flush: release.flush, remaining: nil, outcomes: [])))
        case .unreadable(let why):
            logger.debug("a queue file was left out", metadata: ["id": "\(id)", "failure": "\(why)"])
        }
    }

    private func outcomes(_ pending: PendingDomains, _ log: DeferLog) -> [DomainOutcome] {
        var reasons: [DomainName: String] = [:]
        for entry in log.entries {
            if let domain = directory.names.domain(ofAddress: entry.recipient) { reasons[domain] = entry.reason }
        }
        return zip(pending.domains, pending.counts).map { domain, count in
            DomainOutcome(domain: domain, deferred: count, reason: reasons[domain])
        }
    }
}
