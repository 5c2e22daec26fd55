// Asking Postfix to try messages now.

import DispatchSockets
import FlushCore
import Logging

extension PostfixQueue {
    public func release(
        _ ids: [QueueID], by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async throws(MailQueueError) -> [ReleaseResult] {
        guard phase == .running else { throw .unavailable("the queue is not being followed") }
        // Nothing is moved when nobody would deliver it.
        if let problem = await trouble() { throw .unavailable(problem) }
        var results = [ReleaseResult](repeating: .inDelivery, count: ids.count)
        for start in stride(from: 0, to: ids.count, by: Limits.releasesPerJob) {
            let range = start..<min(start + Limits.releasesPerJob, ids.count)
            results.replaceSubrange(range, with: await releaseSome(ids[range], by: flush, for: selector, unthrottle: unthrottle))
        }
        if results.contains(.released) { await trigger() }
        return results
    }

    private func releaseSome(
        _ ids: ArraySlice<QueueID>, by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async -> [ReleaseResult] {
        // Known before it happens: its end may be seen before the rename has returned. One whose release has not ended, or that is
        // named twice, is in delivery as far as we know.
        var numbers: [UInt64?] = []
        for id in ids {
            guard releases[id] == nil else {
                numbers.append(nil)
                continue
            }
            nextRelease += 1
            numbers.append(nextRelease)
            releases[id] = OpenRelease(number: nextRelease, flush: flush, since: loop.now)
        }
        let wanted = zip(ids, numbers).map { (id: $0, isOurs: $1 != nil) }
        jobsUnderWay += 1
        let (done, logNumber) = await pool.run { [directory, log] in
            // Before the moves: what is logged until here is of older attempts.
            let logNumber = log?.refresh() ?? 0
            let done = wanted.map { id, isOurs in
                isOurs ? directory.release(id, for: selector, unthrottle: unthrottle) : QueueDirectory.Released(result: .inDelivery)
            }
            return (done, logNumber)
        }
        for ((id, isOurs), released) in zip(wanted, done) where isOurs {
            if released.result == .released {
                releases[id]?.message = released.pending?.message(id, in: .incoming)
                releases[id]?.recipients = released.pending?.recipients ?? 0
                releases[id]?.logNumber = logNumber
            } else {
                releases[id] = nil
            }
        }
        jobsUnderWay -= 1
        if jobsUnderWay == 0 { wakeFollower() }
        return done.map(\.result)
    }

    /// Returns when no release is under way: what is taken from the watch from then on, until this actor does something else, is of
    /// releases whose result is known.
    func waitForJobs() async {
        while jobsUnderWay > 0 { await withCheckedContinuation { jobWaiter = $0 } }
    }

    private func wakeFollower() {
        jobWaiter?.resume()
        jobWaiter = nil
    }
}
