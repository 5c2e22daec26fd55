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
        /// What happened last.
        var last: QueueWatch.Step?
        /// Moves may be missing: what the look finds is all there is to go by.
        var isUnsure: Bool
        /// Where in the mail log the attempt's outcomes begin.
        var logNumber: Int

        /// The last that happened was that it left a folder.
        var hasLeft: Bool {
            guard !isUnsure, case .left = last else { return false }
            return true
        }

        /// The look has found what no move has told yet: there will be news of it.
        func isBehind(_ folder: QueueFolder) -> Bool {
            guard !isUnsure, case .entered(let last) = last else { return false }
            return last != folder
        }
    }

    /// Looks at every message with news and tells what it is now.
    func takeNews() async {
        while phase == .running {
            if jobsUnderWay > 0 { await time.sleep(for: Limits.releaseGoesFirst) }
            await beginFollowersTurn()
            let batch = watch.take(atMost: Limits.newsPerTurn)
            // All before the look: what is released from here on has news of its own.
            let expected = batch.changes.map { expect($0.id, $0.change) }
            endFollowersTurn()
            guard !expected.isEmpty || batch.hasOverflowed else { return told(upTo: batch.number) }
            for start in stride(from: 0, to: expected.count, by: Limits.looksPerJob) {
                await follow(expected[start..<min(start + Limits.looksPerJob, expected.count)])
                await Task.yield()
            }
            if batch.hasOverflowed {
                await channel.sendWaiting(.rescanNeeded)
                // The ends of their attempts may be among what was lost.
                watch.mark(Array(releases.keys))
            }
            told(upTo: batch.number)
            if (Limits.busyNews..<Limits.newsPerTurn).contains(batch.changes.count) { await time.sleep(for: Limits.settlingWhenBusy) }
        }
    }

    private func follow(_ expected: ArraySlice<Expectation>) async {
        let unknown = expected.filter { !isOnItsWay($0) }
        for expectation in expected where isOnItsWay(expectation) { await tellOnItsWay(expectation.id) }
        guard !unknown.isEmpty else { return }
        let looks = await pool.run { [directory, log] in
            log?.refresh()
            let looks = unknown.map { expectation -> QueueDirectory.Look in
                // A folder with ten thousand files is slow to say that it has no such one: what is logged as removed is not looked for.
                if expectation.hasLeft, log?.account(of: expectation.id, after: expectation.logNumber).isRemoved == true { return .gone }
                return directory.look(for: expectation.id, withReasons: expectation.hasEnded || expectation.isUnsure)
            }
            // Again, after the looks: what made a message leave was logged before it left.
            log?.refresh()
            return zip(unknown, looks).map { ($1, log?.account(of: $0.id, after: $0.logNumber) ?? MailLog.Account()) }
        }
        for (expectation, (look, account)) in zip(unknown, looks) { await tell(expectation, look, account) }
    }

    /// Goes through the moves, in their order.
    private func expect(_ id: QueueID, _ change: QueueWatch.Change) -> Expectation {
        let steps = change.steps
        // From `deferred` to `incoming` nothing goes but by us: new mail comes from elsewhere, and qmgr(8) takes it to `active`. What
        // came before belongs to an older attempt.
        let ownMove = steps.indices.dropFirst().last { steps[$0] == .entered(.incoming) && steps[$0 - 1] == .left(.deferred) }
        var hasEnded = false
        for (index, step) in steps.enumerated() {
            guard case .entered(let folder) = step else { continue }
            switch (folder, releases[id]?.phase) {
            case (.incoming, .moving) where index == ownMove: releases[id]?.phase = .away
            case (.deferred, .away), (.hold, .away): hasEnded = true
            case (.deferred, nil) where index > 0 && steps[index - 1] == .left(.active): hasEnded = true
            default: break
            }
        }
        let release = releases[id]
        return Expectation(
            id: id, release: release?.number, hasEnded: hasEnded, last: steps.last, isUnsure: change.isUnsure, logNumber: release?.logNumber ?? 0)
    }

    /// Whether this is a release's message that has gone on towards its delivery and no further: what it is was read at its release.
    private func isOnItsWay(_ expectation: Expectation) -> Bool {
        guard !expectation.isUnsure, !expectation.hasEnded, case .entered(let folder) = expectation.last, folder.place == .inDelivery,
            awaitedByLog[expectation.id] == nil, let release = release(of: expectation), release.phase == .away
        else { return false }
        return release.isTold || release.message != nil
    }

    private func tellOnItsWay(_ id: QueueID) async {
        recentlyLeft.forget(id)
        guard let message = releases[id]?.message else { return }
        await tellDelivery(id, message)
    }

    private func tell(_ expectation: Expectation, _ look: QueueDirectory.Look, _ account: MailLog.Account) async {
        switch look {
        case .found(let folder, let pending, let reasons): await tellFound(expectation, folder, pending, reasons, account)
        case .gone: await tellGone(expectation, account)
        case .unreadable(let why):
            awaitedByLog[expectation.id] = nil
            logger.debug("a queue file was left out", metadata: ["id": "\(expectation.id)", "failure": "\(why)"])
        }
    }

    /// The release that the news is of; nil also when the look is older than the release.
    private func release(of expectation: Expectation) -> OpenRelease? {
        releases[expectation.id].flatMap { $0.number == expectation.release ? $0 : nil }
    }

    private func tellFound(
        _ expectation: Expectation, _ folder: QueueFolder, _ pending: PendingDomains, _ reasons: DeferLog, _ account: MailLog.Account
    ) async {
        let id = expectation.id
        let message = pending.message(id, in: folder)
        let release = release(of: expectation)
        recentlyLeft.forget(id)
        let isBack = folder.place != .inDelivery
        let endWasMissed = expectation.isUnsure && release != nil && isBack
        guard expectation.hasEnded || endWasMissed || awaitedByLog[id]?.hasEnded == true else {
            awaitedByLog[id] = nil
            if expectation.isBehind(folder) { return }
            guard release != nil, !isBack else { return await channel.sendWaiting(.queued(message)) }
            // Its coming may be among the moves that were lost.
            releases[id]?.phase = .away
            return await tellDelivery(id, message)
        }
        let finished = (release?.recipients ?? 0) - pending.recipients
        if account.outcomes.count < finished, waitsForLog(id, hasEnded: true) { return }
        await tellRelease(release, id)
        await tellAttempt(
            DeliveryAttempt(
                id: id, flush: release?.flush, remaining: message, outcomes: outcomes(pending, reasons, account),
                siteAnswered: siteAnswered(reasons, release)), account)
    }

    private func tellGone(_ expectation: Expectation, _ account: MailLog.Account) async {
        let id = expectation.id
        let earlier = awaitedByLog[id]
        let lastMove = expectation.last
        // It has moved on: there will be news of it.
        if case .entered = lastMove, !expectation.isUnsure, !expectation.hasEnded, earlier == nil { return }
        guard let release = release(of: expectation) else {
            // Gone by a release that has news of its own, or told already.
            guard releases[id] == nil else {
                awaitedByLog[id] = nil
                return
            }
            // Postfix removes a message where it tries it. Only the log can tell whether it was tried.
            let wasTried = lastMove == .left(.active) || earlier != nil
            if wasTried, !account.isRemoved, waitsForLog(id, hasEnded: false) { return }
            awaitedByLog[id] = nil
            guard recentlyLeft.insert(id) else { return }
            guard wasTried, !account.outcomes.isEmpty else { return await channel.sendWaiting(.left(id)) }
            return await tellAttempt(DeliveryAttempt(id: id, remaining: nil, outcomes: outcomes(nil, DeferLog([]), account)), account)
        }
        if !account.isRemoved, account.outcomes.count < release.recipients, waitsForLog(id, hasEnded: false) { return }
        _ = recentlyLeft.insert(id)
        await tellRelease(release, id)
        await tellAttempt(DeliveryAttempt(id: id, flush: release.flush, remaining: nil, outcomes: outcomes(nil, DeferLog([]), account)), account)
    }

    /// The release's message is in delivery.
    private func tellDelivery(_ id: QueueID, _ message: QueuedMessage) async {
        guard releases[id]?.isTold == false else { return }
        releases[id]?.isTold = true
        releases[id]?.message = nil
        await channel.sendWaiting(.queued(message))
    }

    /// The attempt of this release has ended. It may have been too short for anybody to see the message in delivery.
    private func tellRelease(_ release: OpenRelease?, _ id: QueueID) async {
        guard let release else { return }
        releases[id] = nil
        if !release.isTold, let message = release.message { await channel.sendWaiting(.queued(message)) }
    }

    private func tellAttempt(_ attempt: DeliveryAttempt, _ account: MailLog.Account) async {
        awaitedByLog[attempt.id] = nil
        log?.told(attempt.id, account)
        await channel.sendWaiting(.attempted(attempt))
    }
}
