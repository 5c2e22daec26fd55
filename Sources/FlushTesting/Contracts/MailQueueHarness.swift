// What a mail queue's test target provides, so that the contract's cases can move the world around the queue.

import FlushCore

/// A running engine, new for each case, with nothing in its queue and sites that a case commands.
///
/// The engine tries mail for the contract's domains only when it is asked to, except for what `put(…, .inDelivery)` has begun. A domain
/// whose site was told nothing gets its mail delivered.
public protocol MailQueueHarness: Sendable {
    var queue: any MailQueue { get }
    /// The queue's only consumer.
    var events: EventFollower { get }

    /// Puts a message in, with a recipient for each of `domains`, and returns when it stands in `place` and the engine knows.
    ///
    /// `inDelivery`: the engine has begun to try all of it of its own accord. A case asks for that only while the sites are stalled.
    func put(_ domains: [DomainName], _ place: MessagePlace) async throws -> QueueID
    /// What becomes of mail for `domain` from now on. `deferred`: its site cannot be reached.
    func answer(_ domain: DomainName, _ fate: InMemoryQueue.Fate)
    /// Sites keep every delivery waiting from now on.
    func stall()
    /// Sites answer again, also what waits.
    func resume()
    /// Takes a message that waits or is held out of the queue, as somebody with a shell would; the engine is not told.
    func takeAway(_ id: QueueID) async throws
    /// Makes the engine lose events: puts in messages for `domain` until some were dropped. Nobody follows the events yet.
    func flood(_ domain: DomainName) async throws -> [QueueID]
    /// From now on `release` throws. The case's opener, called again, gives an engine that works on the same messages.
    func breakDown() async
}

extension MailQueueHarness {
    /// The whole queue, by ID.
    func scanned(file: StaticString = #fileID, line: UInt = #line) async throws -> [QueueID: QueuedMessage] {
        let list = Recorder<QueuedMessage>()
        try await queue.scan { page in for message in page { list.append(message) } }
        let messages = list.elements
        try demand(Set(messages.map(\.id)).count, is: messages.count, "messages told once each", file: file, line: line)
        return Dictionary(messages.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func release(
        _ ids: [QueueID], by flush: FlushID? = nil, for selector: FlushSelector = .everything, unthrottle: Bool = false
    ) async throws -> [ReleaseResult] {
        try await queue.release(ids, by: flush, for: selector, unthrottle: unthrottle)
    }

    /// The end of the `count`-th attempt on a message.
    func attempt(
        _ count: Int = 1, on id: QueueID, file: StaticString = #fileID, line: UInt = #line
    ) async throws -> DeliveryAttempt {
        let seen = try await events.wait(for: "attempt \(count) on \(id)", file: file, line: line) { $0.attempts(on: id).count >= count }
        return seen.attempts(on: id)[count - 1]
    }

    /// All that was told until now: an event is provoked, and everything that came before it is returned.
    func soFar(_ domain: DomainName, file: StaticString = #fileID, line: UInt = #line) async throws -> EventFollower.Seen {
        let mark = try await put([domain], .deferred)
        return try await events.wait(for: "the arrival of \(mark)", file: file, line: line) { !$0.events(about: mark).isEmpty }
    }
}
