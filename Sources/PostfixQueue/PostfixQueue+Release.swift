// Asking Postfix to try messages now.

import DispatchSockets
import FlushCore
import Logging

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
        if results.contains(.released) { await trigger([.scanIncoming]) }
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
        var numbers: [UInt64?] = []
        for id in ids {
            guard releases[id] == nil else {
                numbers.append(nil)
                continue
            }
            nextRelease += 1
            numbers.append(nextRelease)
            releases[id] = OpenRelease(number: nextRelease, flush: flush, selector: selector, since: loop.now)
        }
        let wanted = zip(ids, numbers).map { (id: $0, isOurs: $1 != nil) }
        jobsUnderWay += 1
        let done = await pool.runAll(
            Self.parts(of: wanted).map { part in
                { [directory, log] in
                    // Before the moves: what is logged until here is of older attempts.
                    let logNumber = log?.refresh() ?? 0
                    return part.map { id, isOurs in
                        let released =
                            isOurs ? directory.release(id, for: selector, unthrottle: unthrottle) : QueueDirectory.Released(result: .inDelivery)
                        return (released, logNumber)
                    }
                }
            }
        ).flatMap(\.self)
        for ((id, isOurs), (released, logNumber)) in zip(wanted, done) where isOurs {
            if released.result == .released {
                releases[id]?.message = released.pending?.message(id, in: .incoming)
                releases[id]?.recipients = released.pending?.recipients ?? 0
                releases[id]?.logNumber = logNumber
            } else {
                releases[id] = nil
            }
        }
        jobsUnderWay -= 1
        if jobsUnderWay == 0 {
            jobWaiter?.resume()
            jobWaiter = nil
        }
        return done.map(\.0.result)
    }

    /// Pieces for threads that release at once: most of a release is system calls. A few messages are not worth a second thread.
    private static func parts<Message>(of messages: [Message]) -> [ArraySlice<Message>] {
        guard messages.count >= 2 * Limits.releasesAtLeast else { return [messages[...]] }
        let middle = messages.count / 2
        return [messages[..<middle], messages[middle...]]
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
