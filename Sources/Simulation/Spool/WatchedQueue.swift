// The spool as the core sees it, with somebody who reads along.

import FlushCore

/// Hands everything on, and tells the ledger which attempts have ended.
// @unchecked: the simulation has one thread.
final class WatchedQueue: MailQueue, @unchecked Sendable {
    private let inner: any MailQueue
    private let ledger: Ledger
    private let disk: SimulatedDisk
    private var following: AsyncStream<QueueEvent>.Iterator

    init(_ inner: any MailQueue, ledger: Ledger, disk: SimulatedDisk) {
        self.inner = inner
        self.ledger = ledger
        self.disk = disk
        following = inner.events.makeAsyncIterator()
    }

    var events: AsyncStream<QueueEvent> { AsyncStream { await self.next() } }

    private func next() async -> QueueEvent? {
        var iterator = following
        let event = await iterator.next()
        following = iterator
        // What a process says after its death nobody hears.
        if case .attempted(let attempt)? = event, !disk.hasCrashed { ledger.settled(id: attempt.id.description) }
        return event
    }

    func scan(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(MailQueueError) { try await inner.scan(receive) }
    func describe(_ ids: [QueueID]) async throws(MailQueueError) -> [MessageDescription] { try await inner.describe(ids) }
    func trouble() async -> String? { await inner.trouble() }
    var isKnownToBeReady: Bool { inner.isKnownToBeReady }
    func remove(_ id: QueueID) async throws(MailQueueError) { try await inner.remove(id) }

    func release(
        _ ids: [QueueID], by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async throws(MailQueueError) -> [ReleaseResult] {
        try await inner.release(ids, by: flush, for: selector, unthrottle: unthrottle)
    }
}
