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
        while phase == .running {
            await waitForJobs()
            let batch = watch.take(atMost: Limits.looksPerJob)
            guard !batch.changes.isEmpty || batch.hasOverflowed else { return }
            // All before the look: what is released from here on has news of its own.
            let expected = batch.changes.map { expect($0.id, $0.change) }
            let looks = await pool.run { [directory] in
                expected.map { directory.look(for: $0.id, withReasons: $0.hasEnded || $0.isAway) }
            }
            for (expectation, look) in zip(expected, looks) { await tell(expectation, look) }
            if batch.hasOverflowed {
                await channel.send(.rescanNeeded)
                // The ends of their attempts may be among what was lost.
                watch.mark(Array(releases.keys))
            }
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
        let isAway = release.map { $0.phase == .away || change.isUnsure } ?? false
        return Expectation(id: id, release: release?.number, hasEnded: hasEnded, isAway: isAway)
    }

    private func tell(_ expectation: Expectation, _ look: QueueDirectory.Look) async {
        let id = expectation.id
        // The look is older than a release that was made since.
        let release = releases[id].flatMap { $0.number == expectation.release ? $0 : nil }
        switch look {
        case .found(let folder, let pending, let reasons):
            let message = pending.message(id, in: folder)
            guard expectation.hasEnded || (expectation.isAway && folder.place != .inDelivery) else {
                if release != nil, folder.place == .inDelivery {
                    if release?.isTold == true { return }
                    releases[id]?.isTold = true
                }
                return await channel.send(.queued(message))
            }
            await tellRelease(release, id)
            await channel.send(
                .attempted(
                    DeliveryAttempt(
                        id: id, flush: release?.flush, remaining: message, outcomes: outcomes(pending, reasons),
                        siteAnswered: reasons.entries.contains(where: \.isReply))))
        case .gone:
            guard release != nil else {
                // Gone by a release that has news of its own.
                if releases[id] == nil { await channel.send(.left(id)) }
                return
            }
            await tellRelease(release, id)
            await channel.send(.attempted(DeliveryAttempt(id: id, flush: release?.flush, remaining: nil, outcomes: [])))
        case .unreadable(let why):
            logger.debug("a queue file was left out", metadata: ["id": "\(id)", "failure": "\(why)"])
        }
    }

    /// The attempt of this release has ended. It may have been too short for anybody to see the message in delivery.
    private func tellRelease(_ release: OpenRelease?, _ id: QueueID) async {
        guard let release else { return }
        releases[id] = nil
        if !release.isTold, let message = release.message { await channel.send(.queued(message)) }
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
