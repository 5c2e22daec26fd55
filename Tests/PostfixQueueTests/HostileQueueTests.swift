// Moves that come too early, too close, twice or not at all; queue managers that are stuck; names that are used again.

import DispatchSockets
import FlushCore
import FlushTesting
import Glibc
import Synchronization
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct HostileQueueTests {
    let branch = DomainName("branch.example")!
    let ship = DomainName("ship.example")!
    let flush = Samples.flushID(1)

    private func release(_ ids: [QueueID], _ engine: Engine, for selector: FlushSelector = .everything) async throws -> [ReleaseResult] {
        try await engine.queue.release(ids, by: flush, for: selector, unthrottle: false)
    }

    /// The first attempt on new mail and our release come so close that one look sees both; both come through `incoming`.
    @Test func theFirstAttemptOnNewMailIsNotTheFlushs() async throws {
        try await Engine.run(FakePostfix()) { engine in
            for _ in 0..<10 {
                let id = engine.postfix.put(["u@branch.example"], in: .incoming)
                engine.postfix.move(id, from: .incoming, to: .active)
                engine.postfix.move(id, from: .active, to: .deferred)
                #expect(try await release([id], engine) == [.released])
                try await engine.settle()
                #expect(Engine.attempts(on: id, in: engine.events.elements).allSatisfy { $0.flush == nil })

                engine.postfix.move(id, from: .incoming, to: .active)
                engine.postfix.unlinkMessage(id, in: .active)

                try await engine.wait("the flush's own") { Engine.attempts(on: id, in: $0).contains { $0.flush == flush && $0.remaining == nil } }
            }
        }
    }

    @Test func aQueueManagerThatIsStuckIsToldAndNothingIsMoved() async throws {
        let postfix = try FakePostfix()
        // It listens, and never accepts: stopped by a signal, or waiting for a table.
        let stuck = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(stuck) }
        #expect(SocketAddress.unix(path: "\(postfix.layout.queueDirectory)/public/qmgr").withSystemAddress { bind(stuck, $0, $1) } == 0)
        listen(stuck, 64)
        try await Engine.run(postfix, withManager: false) { engine in
            let id = engine.postfix.put(["u@branch.example"])
            let start = ContinuousClock().now

            await withTaskGroup { group in
                for _ in 0..<100 {
                    group.addTask { #expect(await engine.queue.trouble()?.contains("stuck") == true) }
                }
            }
            await #expect(throws: MailQueueError.self) { try await release([id], engine) }

            // All of them wait for one question; each for its own would take minutes.
            let elapsed = start.duration(to: ContinuousClock().now)
            #expect(elapsed < .seconds(90))
            #expect(engine.postfix.exists(id, in: .deferred))
        }
    }

    @Test func aFlushOfEverythingForgetsDeadDestinationsOnce() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let first = engine.postfix.put(["u@branch.example"])
            let second = engine.postfix.put(["u@branch.example"])
            let third = engine.postfix.put(["u@branch.example"])
            _ = try await release([first], engine)
            _ = try await release([second], engine)
            _ = try await engine.queue.release([third], by: Samples.flushID(2), for: .domain(branch, subdomains: false), unthrottle: true)

            #expect(engine.postfix.triggers.withLock { $0.filter { $0.contains("F") } } == ["F"])
            for id in [first, second] { #expect(!engine.postfix.isUnthrottled(id, in: .incoming)) }
        }
    }

    @Test func anotherDomainsServerDoesNotShowThatThisOneIsUp() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example", "v@ship.example"])
            _ = try await release([id], engine, for: .domain(branch, subdomains: false))
            engine.postfix.move(id, from: .incoming, to: .active)
            engine.postfix.note(id, "u@branch.example", "no route")
            engine.postfix.note(id, "v@ship.example", "450 not now", isReply: true)
            engine.postfix.move(id, from: .active, to: .deferred)

            #expect(try await !engine.attempt(on: id).siteAnswered)
        }
    }

    @Test func anIDThatIsUsedAgainIsANewMessage() async throws {
        try await Engine.run(FakePostfix()) { engine in
            for round in 1...3 {
                let id = engine.postfix.put(["u\(round)@branch.example"], in: .hold, id: "ABC123")
                try await engine.wait("arrival \(round)") { $0.count { if case .queued = $0 { true } else { false } } == round }
                engine.postfix.unlinkMessage(id, in: .hold)
                try await engine.wait("end \(round)") { $0.count { $0 == .left(id) } == round }
            }
        }
    }

    @Test func whatMovedDuringAScanIsToldBeforeItReturns() async throws {
        try await Engine.run(FakePostfix()) { engine in
            for _ in 0..<20 {
                let id = engine.postfix.put(["u@branch.example"], in: .active)
                engine.postfix.move(id, from: .active, to: .deferred)

                _ = try await engine.scanned()

                // Not `wait`: the follower has only to be given its turn.
                for _ in 0..<1_000 where !isTold(id, engine) { await Task.yield() }
                #expect(isTold(id, engine))
            }
        }
    }

    private func isTold(_ id: QueueID, _ engine: Engine) -> Bool {
        engine.events.elements.contains { event in
            switch event {
            case .queued(let message): message.id == id
            case .attempted(let attempt): attempt.id == id
            case .left, .rescanNeeded: false
            }
        }
    }

    /// Several flushes at once: news is told although there is always a release under way.
    @Test func releasesThatNeverEndDoNotHoldUpTheNews() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let ids = (0..<1_200).map { engine.postfix.put(["u\($0)@branch.example"]) }
            let results = try await withThrowingTaskGroup(of: [ReleaseResult].self) { group in
                for part in 0..<4 {
                    group.addTask { try await release(Array(ids[(part * 300)..<(part * 300 + 300)]), engine) }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(results.allSatisfy { $0 == .released })
            for id in ids {
                engine.postfix.move(id, from: .incoming, to: .active)
                engine.postfix.unlinkMessage(id, in: .active)
            }

            try await engine.wait("all ends") { events in
                events.count { if case .attempted(let attempt) = $0 { attempt.flush == flush } else { false } } == ids.count
            }
        }
    }

    @Test func aHashDirectoryThatIsReplacedAsksForAScan() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let directory = "\(engine.postfix.layout.queueDirectory)/deferred/A"
            rename(directory, directory + "bc")
            mkdir(directory, 0o700)
            try await engine.wait("the wish for a scan") { $0.contains(.rescanNeeded) }

            let id = engine.postfix.put(["u@branch.example"], id: "A00001")

            try await engine.wait("the message") { events in
                events.contains { if case .queued(let message) = $0 { message.id == id } else { false } }
            }
            // What is done in the old one is no move in the queue any more.
            FakePostfix.append("x", to: directory + "bc/A00002")
            rename(directory + "bc/A00002", directory + "bc/A00003")
            try await engine.settle()
            #expect(!engine.events.elements.contains(.left(QueueID("A00002")!)))
        }
    }

    @Test func whoStopsInTheMiddleIsNotKept() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let ids = (0..<300).map { engine.postfix.put(["u\($0)@branch.example"]) }
            async let results = engine.queue.release(ids, by: flush, for: .everything, unthrottle: false)
            async let pages: Void = engine.queue.scan { _ in }

            await engine.queue.stop()

            _ = try? await results
            _ = try? await pages
            #expect(await engine.queue.trouble() != nil)
            await #expect(throws: MailQueueError.self) { try await release(ids, engine) }
        }
    }

    // MARK: What the log tells

    @Test func theLogTellsOfPostfixsOwnAttemptsAndOfEachOutcomeOnce() async throws {
        let postfix = try FakePostfix()
        let log = "\(postfix.layout.queueDirectory)/mail.log"
        FakePostfix.append("the log is there\n", to: log)
        try await Engine.run(postfix, mailLog: log) { engine in
            let id = postfix.put(["u@branch.example", "v@ship.example"], in: .active)
            try await engine.settle()
            FakePostfix.append("x postfix/smtp[1]: \(id): to=<v@ship.example>, relay=x, status=sent (250 ok)\n", to: log)
            postfix.markDone(id, "v@ship.example", in: .active)
            postfix.note(id, "u@branch.example", "away")
            postfix.move(id, from: .active, to: .deferred)
            let first = try await engine.attempt(on: id)
            postfix.move(id, from: .deferred, to: .active)
            FakePostfix.append("x postfix/smtp[1]: \(id): to=<u@branch.example>, relay=x, status=bounced (550 no)\n", to: log)
            postfix.unlinkMessage(id, in: .active)
            // The queue manager tells after it has removed the message.
            FakePostfix.append("x postfix/qmgr[1]: \(id): removed\n", to: log)

            let second = try await engine.attempt(on: id, count: 2)

            #expect(
                first.outcomes.sorted { $0.domain < $1.domain } == [
                    DomainOutcome(domain: branch, deferred: 1, reason: "away"), DomainOutcome(domain: ship, delivered: 1),
                ])
            #expect(second.outcomes == [DomainOutcome(domain: branch, bounced: 1, reason: "550 no")])
            #expect(second.remaining == nil && second.flush == nil)
        }
    }

    @Test func whatWasDeletedWhileItWasTriedHasLeft() async throws {
        let postfix = try FakePostfix()
        let log = "\(postfix.layout.queueDirectory)/mail.log"
        FakePostfix.append("the log is there\n", to: log)
        try await Engine.run(postfix, mailLog: log) { engine in
            let id = postfix.put(["u@branch.example"], in: .active)
            try await engine.settle()
            postfix.unlinkMessage(id, in: .active)
            FakePostfix.append("x postfix/postsuper[1]: \(id): removed\n", to: log)

            try await engine.wait("its leaving") { $0.contains(.left(id)) }
        }
    }

    @Test func aLogThatIsBehindIsWaitedFor() async throws {
        let postfix = try FakePostfix()
        let log = "\(postfix.layout.queueDirectory)/mail.log"
        FakePostfix.append("the log is there\n", to: log)
        try await Engine.run(postfix, mailLog: log) { engine in
            let id = postfix.put(["u@branch.example", "v@ship.example"])
            _ = try await release([id], engine)
            postfix.move(id, from: .incoming, to: .active)
            postfix.markDone(id, "v@ship.example", in: .active)
            postfix.move(id, from: .active, to: .deferred)
            try await engine.settle()
            FakePostfix.append("x postfix/smtp[1]: \(id): to=<v@ship.example>, relay=x, status=sent (250 ok)\n", to: log)

            let attempt = try await engine.attempt(on: id)

            #expect(attempt.outcomes.contains(DomainOutcome(domain: ship, delivered: 1)))
            #expect(attempt.flush == flush)
        }
    }

    @Test func aFinishedRecipientIsWhatIsKnownOfIt() async throws {
        let postfix = try FakePostfix()
        let log = "\(postfix.layout.queueDirectory)/mail.log"
        FakePostfix.append("the log is there\n", to: log)
        try await Engine.run(postfix, mailLog: log) { engine in
            let recipients = ["a@branch.example", "b@branch.example", "c@branch.example", "d@branch.example", "e@branch.example"]
            let id = postfix.put(recipients, in: .active)
            for recipient in recipients.dropLast() { postfix.markDone(id, recipient, in: .active) }
            postfix.note(id, "b@branch.example", "550 refused", in: "bounce")
            for (recipient, status) in [("c", "sent"), ("d", "bounced")] {
                FakePostfix.append("x postfix/smtp[1]: \(id): to=<\(recipient)@branch.example>, relay=x, status=\(status) (550 never)\n", to: log)
            }

            let described = try await engine.queue.describe([id])

            #expect(described.first?.recipients.map(\.state) == [.finished, .bounced, .delivered, .bounced, .pending])
            #expect(described.first?.recipients.map(\.reason) == [nil, "550 refused", nil, "550 never", nil])
        }
    }
}
