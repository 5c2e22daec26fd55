// A queue that somebody else runs (as Postfix does), which goes on while our process is dead.

import FlushCore
import FlushTesting

/// The messages as they are, whatever anybody has been told of them.
// @unchecked: the simulation has one thread.
final class QueueTruth: @unchecked Sendable {
    private let machine: Machine
    private(set) var messages: [QueueID: QueuedMessage] = [:]
    /// What is being delivered, and for which flush.
    private(set) var attempts: [QueueID: FlushID?] = [:]
    private var lastNumber = 0
    /// News that is late.
    private var late: [QueueEvent] = []
    /// Chances in 256 that news is lost, or late.
    var newsLoss = 0
    var newsDelay = 0
    var isBroken = false
    /// Who is told.
    weak var follower: SimulatedQueue?

    init(machine: Machine) { self.machine = machine }

    var ids: [QueueID] { messages.keys.sorted() }
    var count: Int { messages.count }
    var made: Int { lastNumber }

    func messages(for domain: DomainName) -> [QueuedMessage] { messages.values.filter { $0.domains.contains(domain) } }

    // MARK: What happens

    func arrive(for domains: [DomainName]) -> QueueID {
        lastNumber += 1
        let id = Samples.queueID(lastNumber)
        let message = QueuedMessage(
            id: id, place: .deferred, arrival: machine.clock.now, size: 100 + machine.chance(1_000), domains: domains)
        messages[id] = message
        machine.trace.note("arrives", lastNumber, domains.count, text: "\(id) for \(domains)")
        tell(.queued(message))
        return id
    }

    func release(_ id: QueueID, by flush: FlushID?, for selector: FlushSelector) -> ReleaseResult {
        guard var message = messages[id], message.domains.contains(where: selector.means) else { return .vanished }
        if case .message(let meant) = selector, meant != id { return .vanished }
        switch message.place {
        case .held: return .held
        case .inDelivery: return .inDelivery
        case .deferred: break
        }
        if isBroken { return .failed(reason: "the disk fails") }
        message.place = .inDelivery
        messages[id] = message
        attempts[id] = flush
        tell(.queued(message))
        return .released
    }

    /// Ends an attempt, one way or the other.
    func endAttempt(on id: QueueID) {
        guard var message = messages[id], let flush = attempts.removeValue(forKey: id) else { return }
        var outcomes: [DomainOutcome] = []
        var pending: [DomainName] = []
        for domain in message.domains {
            switch machine.chance(4) {
            case 0, 1: outcomes.append(DomainOutcome(domain: domain, delivered: 1))
            case 2:
                outcomes.append(DomainOutcome(domain: domain, deferred: 1, reason: "450 later"))
                pending.append(domain)
            default: outcomes.append(DomainOutcome(domain: domain, bounced: 1, reason: "550 never"))
            }
        }
        message.place = .deferred
        message.domains = pending
        messages[id] = pending.isEmpty ? nil : message
        machine.trace.note("attempt ends", pending.count, text: "\(id), \(pending) pending")
        tell(
            .attempted(
                DeliveryAttempt(id: id, flush: flush, remaining: messages[id], outcomes: outcomes, siteAnswered: machine.isLucky(oneIn: 2))))
    }

    /// An operator stops a message, or lets it go on.
    func toggleHold(_ id: QueueID) {
        guard var message = messages[id], message.place != .inDelivery else { return }
        message.place = message.place == .held ? .deferred : .held
        messages[id] = message
        tell(.queued(message))
    }

    /// Somebody removes a message, whatever happens to it at the time.
    func takeAway(_ id: QueueID) {
        guard messages.removeValue(forKey: id) != nil else { return }
        attempts[id] = nil
        machine.trace.note("taken away", text: "\(id)")
        tell(.left(id))
    }

    // MARK: News

    private func tell(_ event: QueueEvent) {
        let luck = machine.chance(256)
        if luck < newsLoss { return machine.trace.note("news lost") }
        if luck < newsLoss + newsDelay {
            machine.trace.note("news late")
            return late.append(event)
        }
        follower?.buffer.send(event)
    }

    /// Tells some of what is late, in any order.
    func tellLate(atMost count: Int) {
        for _ in 0..<min(count, late.count) { follower?.buffer.send(late.remove(at: machine.chance(late.count))) }
    }

    /// What was not told to a process that has died is never told.
    func forgetLate() { late = [] }
}
