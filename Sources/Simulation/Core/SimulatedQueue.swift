// The port to a queue that somebody else runs, for one process.

import FlushCore

/// Hands on what the core asks, with the slowness of a disk.
// @unchecked: the simulation has one thread.
final class SimulatedQueue: MailQueue, @unchecked Sendable {
    private static let pageSize = 3
    /// So small that a storm overflows it.
    private static let backlog = 12

    let buffer = EventBuffer(limit: SimulatedQueue.backlog)
    private let truth: QueueTruth
    private let worker: SimulatedWorker
    private var isDead = false

    init(truth: QueueTruth, worker: SimulatedWorker) {
        self.truth = truth
        self.worker = worker
    }

    var events: AsyncStream<QueueEvent> { buffer.stream }

    /// The process is dead: it asks for nothing any more.
    func end() {
        isDead = true
        buffer.end()
    }

    private func work<T: Sendable>(_ body: @Sendable @escaping (QueueTruth) -> T) async throws(MailQueueError) -> T {
        try await worker.run { [self] () throws(MailQueueError) -> T in
            guard !isDead, !truth.isBroken else { throw .unavailable("the queue does not answer") }
            return body(truth)
        }
    }

    func scan(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(MailQueueError) {
        let ids = try await work { $0.ids }
        for start in stride(from: 0, to: ids.count, by: Self.pageSize) {
            let page = ids[start..<min(start + Self.pageSize, ids.count)]
            await receive(try await work { truth in page.compactMap { truth.messages[$0] } })
        }
    }

    func describe(_ ids: [QueueID]) async throws(MailQueueError) -> [MessageDescription] {
        try await work { truth in
            ids.compactMap { truth.messages[$0] }.map { message in
                MessageDescription(
                    id: message.id, place: message.place, arrival: message.arrival, size: message.size, sender: "", recipients: [])
            }
        }
    }

    func release(
        _ ids: [QueueID], by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async throws(MailQueueError) -> [ReleaseResult] {
        try await work { truth in ids.map { truth.release($0, by: flush, for: selector) } }
    }

    func trouble() async -> String? { truth.isBroken ? "the queue does not answer" : nil }
    /// It must be asked, so that every request of the stories takes its turn.
    var isKnownToBeReady: Bool { false }

    func remove(_ id: QueueID) async throws(MailQueueError) {
        let result = try await work { truth -> MailQueueError? in
            guard let message = truth.messages[id] else { return .notFound(id) }
            guard message.place != .inDelivery else { return .busy(id) }
            truth.takeAway(id)
            return nil
        }
        if let result { throw result }
    }
}
