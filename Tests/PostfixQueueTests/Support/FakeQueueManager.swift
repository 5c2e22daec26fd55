// A queue manager and delivery agents that do with a queue directory what Postfix's do, and get the outcomes from a test.

import Dispatch
import FlushCore
import FlushTesting
import Glibc
import Synchronization

@testable import PostfixQueue

/// Takes messages out of `incoming` when it is triggered, tries them in `active`, and marks, notes, logs, moves and removes as Postfix does.
///
/// A site that could not be reached is dead until a message asks for it with its mode bit, or a trigger for all with `F`: mail for it
/// goes back untried. What is in `deferred` waits to be asked for.
final class FakeQueueManager: Sendable {
    private struct State {
        var recipients: [QueueID: [String]] = [:]
        var fates: [DomainName: InMemoryQueue.Fate] = [:]
        var dead: Set<DomainName> = []
        var isStalled = false
    }

    private let postfix: FakePostfix
    /// Where the agents log; nil for a Postfix whose log nobody can read.
    private let log: String?
    /// One process has one thread: everything happens here, one thing after the other.
    private let queue = DispatchQueue(label: "fake-qmgr.work")
    private let state = Mutex(State())

    init(_ postfix: FakePostfix, log: String?) {
        self.postfix = postfix
        self.log = log
    }

    func start() throws {
        try postfix.startManager { [self] commands in
            queue.async { @Sendable [self] in
                if commands.contains("F") { state.withLock { $0.dead = [] } }
                if commands.contains("I") { scanIncoming() }
            }
        }
    }

    func stop() { postfix.stopManager() }

    /// Puts a message where cleanup(8), or an earlier attempt, would have left it.
    func put(_ recipients: [String], in folder: QueueFolder) -> QueueID {
        queue.sync {
            let id = postfix.put(recipients, in: folder)
            if folder == .deferred { postfix.postpone(id, in: folder) }
            state.withLock { $0.recipients[id] = recipients }
            if folder == .incoming { scanIncoming() }
            return id
        }
    }

    func answer(_ domain: DomainName, _ fate: InMemoryQueue.Fate) { state.withLock { $0.fates[domain] = fate } }

    func stall() { queue.sync { state.withLock { $0.isStalled = true } } }

    func resume() {
        queue.sync {
            state.withLock { $0.isStalled = false }
            for id in postfix.ids(in: .active) { attempt(id) }
        }
    }

    // MARK: On the queue

    private func scanIncoming() {
        for id in postfix.ids(in: .incoming) {
            if postfix.isUnthrottled(id, in: .incoming) {
                let domains = state.withLock { $0.recipients[id, default: []] }.map(domain)
                state.withLock { $0.dead.subtract(domains) }
            }
            chmod(postfix.layout.path(of: id, in: .incoming), 0o700)
            postfix.move(id, from: .incoming, to: .active)
            if !state.withLock({ $0.isStalled }) { attempt(id) }
        }
    }

    private func attempt(_ id: QueueID) {
        postfix.forgetNotes(id)
        var waiting: [String] = []
        for recipient in state.withLock({ $0.recipients[id, default: []] }) {
            let site = domain(recipient)
            let (fate, isDead) = state.withLock { ($0.fates[site] ?? .delivered, $0.dead.contains(site)) }
            if isDead {
                wait(id, recipient, "delivery temporarily suspended: \(site) was not reached")
                waiting.append(recipient)
                continue
            }
            switch fate {
            case .delivered: finish(id, recipient, "sent", "250 2.0.0 taken")
            case .bounced(let reason):
                postfix.note(id, recipient, reason, isReply: true, in: "bounce")
                finish(id, recipient, "bounced", reason)
            case .deferred(let reason):
                state.withLock { _ = $0.dead.insert(site) }
                wait(id, recipient, reason)
                waiting.append(recipient)
            }
        }
        // Whoever sent the message has been told by then.
        postfix.forgetNotes(id, in: "bounce")
        state.withLock { $0.recipients[id] = waiting.isEmpty ? nil : waiting }
        if waiting.isEmpty {
            postfix.unlinkMessage(id, in: .active)
            tell("qmgr", "\(id): removed")
        } else {
            postfix.postpone(id, in: .active)
            postfix.move(id, from: .active, to: .deferred)
        }
    }

    private func finish(_ id: QueueID, _ recipient: String, _ status: String, _ text: String) {
        tell("smtp", "\(id): to=<\(recipient)>, relay=sink[127.0.0.1]:25, delay=1, dsn=2.0.0, status=\(status) (\(text))")
        postfix.markDone(id, recipient, in: .active)
    }

    private func wait(_ id: QueueID, _ recipient: String, _ reason: String) {
        postfix.note(id, recipient, reason)
        tell("smtp", "\(id): to=<\(recipient)>, relay=none, delay=1, dsn=4.4.1, status=deferred (\(reason))")
    }

    private func tell(_ program: String, _ text: String) {
        guard let log else { return }
        FakePostfix.append("Nov 22 22:16:16 mx postfix/\(program)[4711]: \(text)\n", to: log)
    }

    private func domain(_ recipient: String) -> DomainName { DomainNameCache().domain(ofAddress: recipient)! }
}
