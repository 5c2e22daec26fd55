// What became of recipients: the queue file and the defer log tell who waits, the mail log tells of the others.

import DispatchSockets
import FlushCore
import Logging

extension PostfixQueue {
    /// The disk tells who is still pending, and the log of the others.
    func outcomes(_ pending: PendingDomains?, _ deferred: DeferLog, _ account: MailLog.Account) -> [DomainOutcome] {
        var rows: [DomainName: DomainOutcome] = [:]
        var order: [DomainName] = []
        func change(_ domain: DomainName, _ body: (inout DomainOutcome) -> Void) {
            if rows[domain] == nil { order.append(domain) }
            body(&rows[domain, default: DomainOutcome(domain: domain)])
        }
        if let pending {
            for (domain, count) in zip(pending.domains, pending.counts) { change(domain) { $0.deferred = count } }
        }
        for (recipient, line) in account.outcomes {
            guard let domain = directory.names.domain(ofAddress: recipient) else { continue }
            switch line.status {
            case .sent: change(domain) { $0.delivered += 1 }
            case .bounced:
                change(domain) {
                    $0.bounced += 1
                    $0.reason = line.text
                }
            case .deferred, .removed: break
            }
        }
        for entry in deferred.entries {
            if let domain = directory.names.domain(ofAddress: entry.recipient), rows[domain] != nil { rows[domain]?.reason = entry.reason }
        }
        return order.compactMap { rows[$0] }
    }

    /// Whether a server said something to mail for the domains that were meant: another's answer does not show that this one's is up.
    func siteAnswered(_ reasons: DeferLog, _ release: OpenRelease?) -> Bool {
        reasons.entries.contains { entry in
            guard entry.isReply else { return false }
            guard let release else { return true }
            return directory.names.domain(ofAddress: entry.recipient).map(release.selector.means) ?? false
        }
    }

    // MARK: Waiting for the log

    /// Whether there is hope that the log will tell more of an attempt that has ended; then the message is looked at again soon.
    func waitsForLog(_ id: QueueID, hasEnded: Bool) -> Bool {
        guard let log, log.isReadable else { return false }
        if let earlier = awaitedByLog[id] { return loop.now - earlier.since < Limits.logPatience }
        guard awaitedByLog.count < Limits.waitingForLog else { return false }
        awaitedByLog[id] = AwaitedByLog(since: loop.now, hasEnded: hasEnded)
        checkLogSoon()
        return true
    }

    private func checkLogSoon() {
        guard !isLogCheckDue else { return }
        isLogCheckDue = true
        loop.schedule(after: Limits.logCheck) { Task { await self.checkLog() } }
    }

    private func checkLog() async {
        let number = await pool.run { [log] in log?.refresh() ?? 0 }
        isLogCheckDue = false
        guard phase == .running, !awaitedByLog.isEmpty else { return }
        let hasMore = number != checkedLogNumber
        checkedLogNumber = number
        let now = loop.now
        watch.mark(awaitedByLog.filter { hasMore || now - $0.value.since >= Limits.logPatience }.map(\.key))
        checkLogSoon()
    }
}
