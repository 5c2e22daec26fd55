// Asking Postfix to try messages now.

import DispatchSockets
import FlushCore
import Logging
import Synchronization

extension PostfixQueue {
    public func release(
        _ ids: [QueueID], by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async throws(MailQueueError) -> [ReleaseResult] {
        // Nothing is moved when nobody would deliver it.
        if let problem = await trouble() { throw .unavailable(problem) }
        await forgetDeadDestinations(for: selector, flush)
        var results = [ReleaseResult](repeating: .inDelivery, count: ids.count)
        for start in stride(from: 0, to: ids.count, by: Limits.releasesPerJob) {
            let range = start..<min(start + Limits.releasesPerJob, ids.count)
            results.replaceSubrange(range, with: await releaseSome(ids[range], by: flush, for: selector, unthrottle: unthrottle))
        }
        return results
    }

    /// A flush of everything is told to the queue manager as flush(8) tells it: once, and before anything is moved. A scan of the queue
    /// manager's that runs already would else take up what is moved for a destination that it still holds for dead.
    private func forgetDeadDestinations(for selector: FlushSelector, _ flush: FlushID?) async {
        guard case .everything = selector, let flush, flush != lastForgetting else { return }
        lastForgetting = flush
        await trigger([.forgetDeadDestinations])
    }

    private func releaseSome(
        _ ids: ArraySlice<QueueID>, by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async -> [ReleaseResult] {
        // Asked again here: on the way back from the wait the task may be enqueued anew as well.
        while isFollowersTurn { await waitForFollowersTurn() }
        // Known before it happens: its end may be seen before the rename has returned. One whose release has not ended, or that is
        // named twice, is in delivery as far as we know.
        var results = [ReleaseResult](repeating: .inDelivery, count: ids.count)
        var ours: [Int] = []
        for (index, id) in zip(results.indices, ids) where releases[id] == nil {
            ours.append(index)
            nextRelease += 1
            releases[id] = OpenRelease(number: nextRelease, flush: flush, selector: selector, since: loop.now)
        }
        guard !ours.isEmpty else { return results }
        let wanted = ours.map { ids[ids.startIndex + $0] }
        jobsUnderWay += 1
        let (done, logNumber, problem) = await pool.run { [self, directory, manager, log] in
            // Before the moves: what is logged until here is of older attempts.
            let logNumber = log?.refresh() ?? 0
            let prepared = directory.prepare(wanted, for: selector, unthrottle: unthrottle)
            let done = moves.withLock { _ in directory.move(wanted, prepared, for: selector, unthrottle: unthrottle) }
            return (done, logNumber, done.contains { $0.result == .released } ? manager.problem(with: [.scanIncoming]) : nil)
        }
        for (index, (id, released)) in zip(ours, zip(wanted, done)) {
            results[index] = released.result
            if released.result == .released {
                releases[id]?.message = released.pending?.message(id, in: .incoming)
                releases[id]?.recipients = released.pending?.recipients ?? 0
                releases[id]?.logNumber = logNumber
            } else {
                releases[id] = nil
            }
        }
        noteTrigger(problem)
        jobsUnderWay -= 1
        if jobsUnderWay == 0 {
            jobWaiter?.resume()
            jobWaiter = nil
        }
        return results
    }

    // MARK: Taking turns with the follower of news

    /// Returns when no release is under way; none begins before `endFollowersTurn`. What is taken from the watch in between is of
    /// releases whose result is known.
    func beginFollowersTurn() async {
        isFollowersTurn = true
        while jobsUnderWay > 0 {
            await withCheckedContinuation { waiter in
                // Asked again: a task may be enqueued anew on the way into a continuation, and others run before it.
                guard jobsUnderWay > 0 else { return waiter.resume() }
                jobWaiter = waiter
            }
        }
    }

    func endFollowersTurn() {
        isFollowersTurn = false
        let waiting = waitingReleases
        waitingReleases = []
        for release in waiting { release.resume() }
    }

    private func waitForFollowersTurn() async {
        while isFollowersTurn {
            await withCheckedContinuation { waiter in
                guard isFollowersTurn else { return waiter.resume() }
                waitingReleases.append(waiter)
            }
        }
    }
}
