// The port's demands on a mail queue, met by the fake that other suites trust.

import FlushCore
import FlushTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(5))) struct MailQueueContractTests {
    @Test(arguments: MailQueueContract.cases)
    func inMemoryQueue(_ demand: MailQueueContract.Case) async throws {
        let harness = InMemoryHarness()
        defer { harness.fake.stop() }
        try await demand.check {
            harness.fake.releaseFailure = nil
            return harness
        }
    }
}

/// The fake, whose sites are its scripts.
private final class InMemoryHarness: MailQueueHarness {
    let fake = InMemoryQueue()
    let events: EventFollower
    var queue: any MailQueue { fake }
    private let state = Mutex<(number: Int, answered: Set<DomainName>)>((0, []))

    init() { events = EventFollower(of: fake) }

    func put(_ domains: [DomainName], _ place: MessagePlace) async throws -> QueueID {
        let message = message(domains, place)
        fake.arrive(message)
        return message.id
    }

    func answer(_ domain: DomainName, _ fate: InMemoryQueue.Fate) {
        state.withLock { _ = $0.answered.insert(domain) }
        fake.script(fate, for: domain)
    }

    func stall() { fake.stall() }
    func resume() { fake.resume() }
    func takeAway(_ id: QueueID) async throws { fake.changeSilently { $0[id] = nil } }

    func flood(_ domain: DomainName) async throws -> [QueueID] {
        let messages = (0..<20).map { _ in message([domain], .deferred) }
        fake.changeSilently { queue in for message in messages { queue[message.id] = message } }
        fake.loseEvents()
        return messages.map(\.id)
    }

    func breakDown() async { fake.releaseFailure = .unavailable("the queue is broken") }

    private func message(_ domains: [DomainName], _ place: MessagePlace) -> QueuedMessage {
        var known: [DomainName] = []
        for domain in domains where !known.contains(domain) { known.append(domain) }
        for domain in known where !state.withLock({ $0.answered.contains(domain) }) { answer(domain, .delivered) }
        let number = state.withLock { state in
            state.number += 1
            return state.number
        }
        return QueuedMessage(
            id: Samples.queueID(number), place: place, arrival: Timestamp(seconds: 1_800_000_000 + Int64(number)), size: 1_000 + number,
            domains: known)
    }
}
