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
        if let problem = await managerTrouble() { throw .unavailable(problem) }
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
        // Known before it happens: its end may be told before the rename has returned.
        var numbers: [QueueID: UInt64] = [:]
        for id in ids where releases[id] == nil {
            nextRelease += 1
            numbers[id] = nextRelease
            releases[id] = OpenRelease(number: nextRelease, flush: flush)
        }
        let ours = numbers
        let results = await pool.run { [directory] in
            ids.map { id in
                // Somebody's release of it has not ended as far as we know.
                ours[id] == nil ? .inDelivery : directory.release(id, for: selector, unthrottle: unthrottle)
            }
        }
        for (id, result) in zip(ids, results) {
            guard let number = numbers[id], releases[id]?.number == number else { continue }
            if result == .released { releases[id]?.hasMoved = true } else { releases[id] = nil }
        }
        watch.mark(ids.filter { numbers[$0] == nil })
        return results
    }
}
