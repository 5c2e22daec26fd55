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
        /// The last move was out of a folder: if it is in none now, it has left for good.
        var mayHaveLeft: Bool
        /// Moves may be missing: what the look finds is all there is to go by.
        var isUnsure: Bool
        /// Where in the mail log the release's outcomes begin.
        var logNumber: Int?
    }

    /// Looks at every message with news and tells what it is now.
    func takeNews() async {
        while phase == .running {
            await waitForJobs()
            let batch = watch.take(atMost: Limits.looksPerJob)
            guard !batch.changes.isEmpty || batch.hasOverflowed else { return }
            // All before the look: what is released from here on has news of its own.
            let expected = batch.changes.map { expect($0.id, $0.change) }
            let looks = await pool.run { [directory, log] in
                let looks = expected.map { directory.look(for: $0.id, withReasons: $0.hasEnded || $0.isUnsure) }
                // After the looks: what made a message leave was logged before it left.
                log?.refresh()
                return zip(expected, looks).map { expectation, look in
                    (look, expectation.logNumber.flatMap { log?.outcomes(of: expectation.id, after: $0) } ?? [:])
                }
            }
            for (expectation, (look, logged)) in zip(expected, looks) { await tell(expectation, look, logged) }
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
        var mayHaveLeft = false
        if case .left = change.steps.last { mayHaveLeft = true }
        let release = releases[id]
        return Expectation(
            id: id, release: release?.number, hasEnded: hasEnded, mayHaveLeft: mayHaveLeft, isUnsure: change.isUnsure,
            logNumber: release?.logNumber)
    }

    private func tell(_ expectation: Expectation, _ look: QueueDirectory.Look, _ logged: [String: MailLogLine]) async {
        let id = expectation.id
        // The look is older than a release that was made since.
        let release = releases[id].flatMap { $0.number == expectation.release ? $0 : nil }
        switch look {
        case .found(let folder, let pending, let reasons):
            let message = pending.message(id, in: folder)
            recentlyLeft.forget(id)
            // A look may be ahead of the moves that were told; what it sees before them is not counted twice.
            let endWasMissed = expectation.isUnsure && release != nil && folder.place != .inDelivery
            guard expectation.hasEnded || endWasMissed else {
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
                        id: id, flush: release?.flush, remaining: message, outcomes: outcomes(pending, reasons, logged),
                        siteAnswered: reasons.entries.contains(where: \.isReply))))
        case .gone:
            guard expectation.mayHaveLeft || expectation.isUnsure || expectation.hasEnded else { return }
            guard release != nil else {
                // Gone by a release that has news of its own, or told already.
                if releases[id] == nil, recentlyLeft.insert(id) { await channel.send(.left(id)) }
                return
            }
            if mustWaitForLog(id, logged) { return }
            _ = recentlyLeft.insert(id)
            await tellRelease(release, id)
            await channel.send(
                .attempted(DeliveryAttempt(id: id, flush: release?.flush, remaining: nil, outcomes: outcomes(nil, DeferLog([]), logged))))
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

    // MARK: Outcomes

    /// Whether the log has still to tell of a recipient of a message that has left; then it is looked at again soon.
    private func mustWaitForLog(_ id: QueueID, _ logged: [String: MailLogLine]) -> Bool {
        guard log != nil, let release = releases[id] else { return false }
        guard logged.values.count(where: { $0.status != .deferred }) < release.recipients else { return false }
        let gone = release.gone ?? loop.now
        releases[id]?.gone = gone
        guard loop.now - gone < Limits.logPatience else { return false }
        let watch = watch
        loop.schedule(after: Limits.logCheck) { watch.mark([id]) }
        return true
    }

    /// The disk tells who is still pending, and the log of the others.
    private func outcomes(_ pending: PendingDomains?, _ deferred: DeferLog, _ logged: [String: MailLogLine]) -> [DomainOutcome] {
        var rows: [DomainName: DomainOutcome] = [:]
        var order: [DomainName] = []
        func change(_ domain: DomainName, _ body: (inout DomainOutcome) -> Void) {
            if rows[domain] == nil { order.append(domain) }
            body(&rows[domain, default: DomainOutcome(domain: domain)])
        }
        if let pending {
            for (domain, count) in zip(pending.domains, pending.counts) { change(domain) { $0.deferred = count } }
        }
        for (recipient, line) in logged {
            guard let domain = directory.names.domain(ofAddress: recipient) else { continue }
            switch line.status {
            case .sent: change(domain) { $0.delivered += 1 }
            case .bounced:
                change(domain) {
                    $0.bounced += 1
                    $0.reason = line.text
                }
            case .deferred: break
            }
        }
        for entry in deferred.entries {
            if let domain = directory.names.domain(ofAddress: entry.recipient), rows[domain] != nil { rows[domain]?.reason = entry.reason }
        }
        return order.compactMap { rows[$0] }
    }
}
