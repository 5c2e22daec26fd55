// The port's demands on a mail queue, met by the Postfix engine: all of them.

import DispatchSockets
import FlushCore
import Glibc
import Logging
import Synchronization
import Testing

@testable import FlushTesting
@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct MailQueueContractTests {
    @Test(arguments: MailQueueContract.cases)
    func postfixQueue(_ demand: MailQueueContract.Case) async throws {
        let postfix = try FakePostfix()
        let log = "\(postfix.layout.queueDirectory)/mail.log"
        FakePostfix.append("the log is there\n", to: log)
        let manager = FakeQueueManager(postfix, log: log)
        let opened = Mutex<[(PostfixQueue, EventLoop)]>([])
        let result = await Task {
            try await demand.check {
                try manager.start()
                let loop = try EventLoop(label: "postfix-contract")
                let queue = PostfixQueue(
                    layout: postfix.layout, mailLog: log, loop: loop, pool: IOPool(label: "postfix-contract.disk", width: 3), time: WallTime(),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, backlog: PostfixHarness.backlog)
                opened.withLock { $0.append((queue, loop)) }
                try await queue.start()
                return PostfixHarness(postfix: postfix, manager: manager, queue: queue, events: EventFollower(of: queue))
            }
        }.result
        manager.resume()
        for (queue, loop) in opened.withLock({ $0 }) {
            await queue.stop()
            loop.shutdown()
        }
        manager.stop()
        try result.get()
    }
}

/// The engine on a real directory, whose queue manager and sites are faked.
private struct PostfixHarness: MailQueueHarness {
    /// More than a case leaves lying before it follows; `flood` makes more.
    static let backlog = 100

    let postfix: FakePostfix
    let manager: FakeQueueManager
    let queue: any MailQueue
    let events: EventFollower

    func put(_ domains: [DomainName], _ place: MessagePlace) async throws -> QueueID {
        let folder: QueueFolder =
            switch place {
            case .deferred: .deferred
            case .inDelivery: .incoming
            case .held: .hold
            }
        let id = manager.put(addresses(domains), in: folder)
        // Here "the engine knows" is "the watch has told".
        try await events.wait(for: "the arrival of \(id)") { seen in
            seen.events(about: id).contains { if case .queued(let message) = $0 { message.place == place } else { false } }
        }
        return id
    }

    func answer(_ domain: DomainName, _ fate: InMemoryQueue.Fate) { manager.answer(domain, fate) }
    func stall() { manager.stall() }
    func resume() { manager.resume() }

    func takeAway(_ id: QueueID) async throws {
        guard unlink(postfix.layout.path(of: id, in: .deferred)) == 0 || unlink(postfix.layout.path(of: id, in: .hold)) == 0 else {
            throw SocketError.system(operation: "take away", code: errno)
        }
    }

    /// The channel takes some, the watch keeps as many, and then it is too much for it.
    func flood(_ domain: DomainName) async throws -> [QueueID] {
        (0..<(6 * Self.backlog)).map { _ in manager.put(addresses([domain]), in: .deferred) }
    }

    func breakDown() async { manager.stop() }

    private func addresses(_ domains: [DomainName]) -> [String] { domains.enumerated().map { "user\($0.offset)@\($0.element)" } }
}
