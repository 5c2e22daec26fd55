// The whole queue, told page by page; and what is known of single messages.

import DispatchSockets
import FlushCore
import Logging

extension PostfixQueue {
    public func scan(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(MailQueueError) {
        guard phase == .running else { throw .unavailable("the queue is not being followed") }
        do throws(QueueFileError) {
            try await pool.run { [watch] () throws(QueueFileError) in try watch.refresh() }
            for folder in QueueFolder.allCases {
                let leaves = try await pool.run { [directory] () throws(QueueFileError) in try directory.leaves(of: folder) }
                for leaf in leaves { try await scan(leaf, in: folder, receive) }
            }
        } catch {
            throw .unavailable("the queue below \(layout.queueDirectory) cannot be read: \(error)")
        }
        // What has moved from one side of the scan to the other is in no page: the caller shall have heard of that before it
        // takes the scan's word for it.
        await waitUntilTold(await pool.run { [watch] in watch.drain() })
        // The end of an attempt that no event told, if there is one, shows at a look.
        watch.mark(releases.filter { loop.now - $0.value.since > Limits.movesPatience }.map(\.key))
    }

    private func scan(
        _ leaf: String, in folder: QueueFolder, _ receive: @Sendable ([QueuedMessage]) async -> Void
    ) async throws(QueueFileError) {
        let ids = try await pool.run { [directory] () throws(QueueFileError) in try directory.ids(in: leaf) }
        // Two pages at once: one thread parses while the other waits for the disk.
        for start in stride(from: 0, to: ids.count, by: 2 * Self.pageSize) {
            let middle = min(start + Self.pageSize, ids.count)
            async let first = read(ids[start..<middle], at: leaf, in: folder)
            async let second = read(ids[middle..<min(middle + Self.pageSize, ids.count)], at: leaf, in: folder)
            for page in await [first, second] where !page.isEmpty { await receive(page) }
        }
    }

    private nonisolated func read(_ ids: ArraySlice<QueueID>, at leaf: String, in folder: QueueFolder) async -> [QueuedMessage] {
        guard !ids.isEmpty else { return [] }
        return await pool.run { [directory, logger] in
            var page: [QueuedMessage] = []
            page.reserveCapacity(ids.count)
            for id in ids {
                do throws(QueueFileError) {
                    page.append(try directory.pending(at: "\(leaf)/\(id)").message(id, in: folder))
                } catch {
                    switch error {
                    // It has moved on, or is not there yet.
                    case .incomplete: continue
                    case .system, .corrupt:
                        if !error.isMissing { logger.warning("a queue file was left out", metadata: ["id": "\(id)", "failure": "\(error)"]) }
                    }
                }
            }
            return page
        }
    }

    private func waitUntilTold(_ number: UInt64) async {
        guard toldNumber < number, phase == .running else { return }
        let timer = loop.schedule(after: Limits.scanPatience) { self.wakeScans { $0 <= number } }
        await withCheckedContinuation { waiter in
            // Asked again, as in `beginFollowersTurn`.
            guard toldNumber < number, phase == .running else { return waiter.resume() }
            tellWaiters.append((number: number, continuation: waiter))
        }
        timer.cancel()
    }

    /// The news up to here has been told.
    func told(upTo number: UInt64) {
        toldNumber = max(toldNumber, number)
        wakeScans { $0 <= number }
    }

    func wakeScans(where isMeant: (UInt64) -> Bool) {
        let ready = tellWaiters.filter { isMeant($0.number) }
        tellWaiters.removeAll { isMeant($0.number) }
        for waiter in ready { waiter.continuation.resume() }
    }

    public func describe(_ ids: [QueueID]) async throws(MailQueueError) -> [MessageDescription] {
        await pool.run { [directory, log] in
            log?.refresh()
            return ids.compactMap { id in directory.describe(id, logged: log?.account(of: id).outcomes ?? [:]) }
        }
    }
}
