// The engine on a queue directory: what it releases, and what it tells of what happens to messages.

import FlushCore
import FlushTesting
import Glibc
import Synchronization
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct PostfixQueueTests {
    let branch = DomainName("branch.example")!
    let ship = DomainName("ship.example")!

    private func selector(_ domain: DomainName) -> FlushSelector { .domain(domain, subdomains: false) }

    @Test func theScanTellsEveryFolder() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let waiting = engine.postfix.put(["u@branch.example", "v@ship.example", "w@branch.example"])
            let held = engine.postfix.put(["u@ship.example"], in: .hold)
            let active = engine.postfix.put(["u@ship.example"], in: .active)
            let incoming = engine.postfix.put(["u@ship.example"], in: .incoming)
            let beingWritten = engine.postfix.put(["u@ship.example"], in: .incoming, mode: 0o600)
            let corrupt = engine.postfix.put(["u@ship.example"], mode: 0o400)

            let scanned = try await engine.scanned()

            #expect(scanned[waiting]?.domains == [branch, ship])
            #expect(scanned[waiting]?.place == .deferred)
            #expect(scanned[held]?.place == .held)
            #expect(scanned[active]?.place == .inDelivery)
            #expect(scanned[incoming]?.place == .inDelivery)
            #expect(scanned[beingWritten] == nil)
            #expect(scanned[corrupt] == nil)
        }
    }

    @Test(arguments: [0, 1, 2, 3])
    func theScanFindsMessagesAtEveryDepth(_ depth: Int) async throws {
        try await Engine.run(FakePostfix(hashedNames: ["deferred", "defer", "incoming"], depth: depth)) { engine in
            let ids =
                (0..<40).map { engine.postfix.put(["u\($0)@branch.example"]) } + [engine.postfix.put(["x@branch.example"], id: "4jXf1t3BDnz2Pkjd")]

            let scanned = try await engine.scanned()
            #expect(Set(scanned.keys) == Set(ids))
            let results = try await engine.queue.release(ids, by: nil, for: .everything, unthrottle: false)
            #expect(results == ids.map { _ in .released })
            for id in ids { #expect(engine.postfix.exists(id, in: .incoming)) }
        }
    }

    @Test func aReleaseMovesTheMessageMakesItDueAndTriggers() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])
            let future = [timespec(tv_sec: time(nil) + 86_400, tv_nsec: 0), timespec(tv_sec: time(nil) + 86_400, tv_nsec: 0)]
            utimensat(AT_FDCWD, engine.postfix.layout.path(of: id, in: .deferred), future, 0)

            let results = try await engine.queue.release([id], by: nil, for: selector(branch), unthrottle: false)

            #expect(results == [.released])
            let status = engine.postfix.status(id, in: .incoming)
            #expect(status.st_mtim.tv_sec <= time(nil) + 1)
            #expect(status.st_mode & 0o777 == 0o700)
            #expect(engine.postfix.triggers.withLock { $0.last } == "I")
        }
    }

    @Test func anUnthrottledReleaseSetsTheBit() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])

            _ = try await engine.queue.release([id], by: nil, for: selector(branch), unthrottle: true)

            #expect(engine.postfix.status(id, in: .incoming).st_mode & 0o777 == 0o740)
        }
    }

    @Test func aReleaseSaysWhatBecameOfEach() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let held = engine.postfix.put(["u@branch.example"], in: .hold)
            let heldElsewhere = engine.postfix.put(["u@ship.example"], in: .hold)
            let active = engine.postfix.put(["u@branch.example"], in: .active)
            let waiting = engine.postfix.put(["u@branch.example"])
            let elsewhere = engine.postfix.put(["u@ship.example"])
            let gone = QueueID("FFFFFF1")!
            let corrupt = engine.postfix.put(["u@branch.example"], mode: 0o400)

            let results = try await engine.queue.release(
                [held, heldElsewhere, active, waiting, waiting, elsewhere, gone, corrupt], by: Samples.flushID(1), for: selector(branch),
                unthrottle: false)

            #expect(results[..<7] == [.held, .vanished, .inDelivery, .released, .inDelivery, .vanished, .vanished])
            guard case .failed = results[7] else { throw Unexpected() }
            #expect(engine.postfix.exists(elsewhere, in: .deferred))
            #expect(engine.postfix.exists(held, in: .hold))
        }
    }

    @Test func aLinkInTheQueueIsNotFollowed() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let target = engine.postfix.put(["u@branch.example"], in: .hold)
            let id = QueueID("ABCDEF0")!
            mkdir("\(engine.postfix.layout.queueDirectory)/deferred/A", 0o700)
            symlink(engine.postfix.layout.path(of: target, in: .hold), engine.postfix.layout.path(of: id, in: .deferred))

            let results = try await engine.queue.release([id], by: nil, for: .everything, unthrottle: true)

            guard case .failed = results[0] else { throw Unexpected() }
            #expect(engine.postfix.status(target, in: .hold).st_mode & 0o777 == 0o700)
            let scanned = try await engine.scanned()
            #expect(scanned[id] == nil)
        }
    }

    @Test func aStoppedQueueManagerIsToldAndNothingIsMoved() async throws {
        try await Engine.run(FakePostfix(), withManager: false) { engine in
            let id = engine.postfix.put(["u@branch.example"])

            await #expect(throws: MailQueueError.self) {
                try await engine.queue.release([id], by: nil, for: selector(branch), unthrottle: false)
            }

            #expect(engine.postfix.exists(id, in: .deferred))
            #expect(await engine.queue.trouble()?.contains("is Postfix running?") == true)
        }
    }

    @Test func aMessageThatComesBackIsItsFlushsOneAttempt() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example", "v@ship.example"])
            _ = try await engine.queue.release([id], by: Samples.flushID(1), for: selector(branch), unthrottle: false)
            engine.postfix.move(id, from: .incoming, to: .active)
            engine.postfix.markDone(id, "v@ship.example", in: .active)
            engine.postfix.note(id, "u@branch.example", "connection refused")
            engine.postfix.move(id, from: .active, to: .deferred)

            let attempt = try await engine.attempt(on: id)
            try await engine.settle()

            #expect(attempt.flush == Samples.flushID(1))
            #expect(attempt.remaining?.domains == [branch])
            #expect(attempt.remaining?.place == .deferred)
            #expect(attempt.outcomes == [DomainOutcome(domain: branch, deferred: 1, reason: "connection refused")])
            #expect(!attempt.siteAnswered)
            #expect(Engine.attempts(on: id, in: engine.events.elements).count == 1)
        }
    }

    @Test func aReplyOfTheSiteIsTold() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])
            _ = try await engine.queue.release([id], by: Samples.flushID(1), for: selector(branch), unthrottle: false)
            engine.postfix.move(id, from: .incoming, to: .active)
            engine.postfix.note(id, "u@branch.example", "said: 450 not now", isReply: true)
            engine.postfix.move(id, from: .active, to: .deferred)

            let attempt = try await engine.attempt(on: id)
            #expect(attempt.siteAnswered)
        }
    }

    @Test func aMessageThatLeavesIsItsFlushsOneAttempt() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])
            _ = try await engine.queue.release([id], by: Samples.flushID(1), for: selector(branch), unthrottle: false)
            engine.postfix.move(id, from: .incoming, to: .active)
            engine.postfix.unlinkMessage(id, in: .active)

            let attempt = try await engine.attempt(on: id)
            try await engine.settle()

            #expect(attempt == DeliveryAttempt(id: id, flush: Samples.flushID(1), remaining: nil, outcomes: []))
            let events = engine.events.elements.filter { if case .left = $0 { true } else { false } }
            #expect(events.isEmpty)
            let results = try await engine.queue.release([id], by: Samples.flushID(2), for: selector(branch), unthrottle: false)
            #expect(results == [.vanished])
        }
    }

    @Test func theEndOfAnOlderAttemptIsNotTheNewFlushs() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"], in: .active)
            try await engine.settle()
            // The end of Postfix's own attempt and our release come so close that one look sees both.
            engine.postfix.move(id, from: .active, to: .deferred)
            let results = try await engine.queue.release([id], by: Samples.flushID(1), for: selector(branch), unthrottle: false)
            #expect(results == [.released])
            try await engine.settle()
            #expect(Engine.attempts(on: id, in: engine.events.elements).allSatisfy { $0.flush == nil })

            engine.postfix.move(id, from: .incoming, to: .active)
            engine.postfix.move(id, from: .active, to: .deferred)

            try await engine.wait("the flush's own") { Engine.attempts(on: id, in: $0).contains { $0.flush == Samples.flushID(1) } }
        }
    }

    @Test func aReleasedMessageThatIsPutOnHoldHasEnded() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])
            _ = try await engine.queue.release([id], by: Samples.flushID(1), for: selector(branch), unthrottle: false)
            engine.postfix.move(id, from: .incoming, to: .hold)

            let attempt = try await engine.attempt(on: id)
            #expect(attempt.remaining?.place == .held)
        }
    }

    @Test func whatPostfixDoesByItselfIsNobodysAttempt() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])
            engine.postfix.move(id, from: .deferred, to: .active)
            engine.postfix.note(id, "u@branch.example", "refused")
            engine.postfix.move(id, from: .active, to: .deferred)

            let attempt = try await engine.attempt(on: id)

            #expect(attempt.flush == nil)
            #expect(attempt.outcomes.first?.reason == "refused")
        }
    }

    @Test func movesWithoutAnAttemptAreTold() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])
            engine.postfix.move(id, from: .deferred, to: .hold)
            try await engine.wait("hold") {
                $0.contains { if case .queued(let message) = $0 { message.id == id && message.place == .held } else { false } }
            }
            engine.postfix.move(id, from: .hold, to: .deferred)
            try await engine.wait("back") { if case .queued(let message) = $0.last { message.id == id && message.place == .deferred } else { false } }
            engine.postfix.unlinkMessage(id, in: .deferred)
            try await engine.wait("gone") { $0.last == .left(id) }

            #expect(Engine.attempts(on: id, in: engine.events.elements).isEmpty)
        }
    }

    /// cleanup(8) moves what it puts on hold before it has written it to the end.
    @Test func whatIsCompletedOnHoldIsTold() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"], in: .incoming, mode: 0o600)
            engine.postfix.move(id, from: .incoming, to: .hold)
            try await engine.settle()
            #expect(engine.events.elements.allSatisfy { if case .queued(let message) = $0 { message.id != id } else { true } })

            chmod(engine.postfix.layout.path(of: id, in: .hold), 0o700)

            try await engine.wait("hold") {
                $0.contains { if case .queued(let message) = $0 { message.id == id && message.place == .held } else { false } }
            }
        }
    }

    @Test func aNewHashDirectoryIsFollowed() async throws {
        try await Engine.run(FakePostfix(depth: 2)) { engine in
            let first = engine.postfix.put(["u@branch.example"], id: "A1B2C3")
            try await engine.wait("the first") { $0.contains { if case .queued(let message) = $0 { message.id == first } else { false } } }
            let second = engine.postfix.put(["u@branch.example"], id: "A1B2C4")

            try await engine.wait("the second") { $0.contains { if case .queued(let message) = $0 { message.id == second } else { false } } }
        }
    }

    /// Two thousand messages through deferred, incoming and active at once: what was told last is what is there.
    @Test func aBurstLeavesNoDrift() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let ids = (0..<2_000).map { engine.postfix.put(["u\($0)@branch.example"]) }
            for start in stride(from: 0, to: ids.count, by: 200) {
                let batch = Array(ids[start..<(start + 200)])
                let results = try await engine.queue.release(batch, by: Samples.flushID(1), for: selector(branch), unthrottle: false)
                #expect(results.allSatisfy { $0 == .released })
                for (index, id) in batch.enumerated() {
                    engine.postfix.move(id, from: .incoming, to: .active)
                    if index % 2 == 0 { engine.postfix.move(id, from: .active, to: .deferred) } else { engine.postfix.unlinkMessage(id, in: .active) }
                }
            }
            try await engine.wait("all attempts") { events in
                events.count { if case .attempted(let attempt) = $0 { attempt.flush != nil } else { false } } >= ids.count
            }
            try await engine.settle()

            var told: [QueueID: QueuedMessage] = [:]
            var attempts: [QueueID: Int] = [:]
            for event in engine.events.elements {
                switch event {
                case .queued(let message): told[message.id] = message
                case .attempted(let attempt):
                    told[attempt.id] = attempt.remaining
                    if attempt.flush != nil { attempts[attempt.id, default: 0] += 1 }
                case .left(let id): told[id] = nil
                case .rescanNeeded: break
                }
            }
            let scanned = try await engine.scanned()
            #expect(told == scanned)
            #expect(attempts.count == ids.count && attempts.values.allSatisfy { $0 == 1 })
        }
    }

    @Test func aDescriptionTellsRecipientsAndReasons() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example", "v@ship.example"])
            engine.postfix.markDone(id, "v@ship.example", in: .deferred)
            engine.postfix.note(id, "u@branch.example", "connection refused")

            let described = try await engine.queue.describe([QueueID("FFFF1")!, id])

            #expect(described.count == 1)
            #expect(described[0].sender == "a@sender.test")
            #expect(described[0].recipients.map(\.address) == ["u@branch.example", "v@ship.example"])
            #expect(described[0].recipients[0].state == .pending)
            #expect(described[0].recipients[0].reason == "connection refused")
            #expect(described[0].recipients[1].state == .finished)
            #expect(described[0].nextAttempt != nil)
            #expect(described[0].history.map(\.text) == ["connection refused"])
        }
    }

    @Test func aFolderThatWasReplacedAsksForAScanAndIsFollowedFromThenOn() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let hold = "\(engine.postfix.layout.queueDirectory)/hold"
            rename(hold, hold + ".old")
            mkdir(hold, 0o700)
            try await engine.wait("the wish for a scan") { $0.contains(.rescanNeeded) }
            _ = try await engine.scanned()

            let id = engine.postfix.put(["u@branch.example"], in: .hold)

            try await engine.wait("the message on hold") { events in
                events.contains { if case .queued(let message) = $0 { message.id == id && message.place == .held } else { false } }
            }
        }
    }

    /// An end that no event told is found by the next scan.
    @Test func aScanFindsTheEndOfAnAttemptThatWasMissed() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])
            _ = try await engine.queue.release([id], by: Samples.flushID(1), for: selector(branch), unthrottle: false)
            // Out of sight: by way of a directory that nobody watches.
            let path = engine.postfix.layout.path(of: id, in: .incoming)
            rename("\(engine.postfix.layout.queueDirectory)/incoming", "\(engine.postfix.layout.queueDirectory)/elsewhere")
            mkdir("\(engine.postfix.layout.queueDirectory)/incoming", 0o700)
            #expect(access(path, F_OK) != 0)

            _ = try await engine.scanned()

            let attempt = try await engine.attempt(on: id)
            #expect(attempt.flush == Samples.flushID(1))
            #expect(attempt.remaining == nil)
        }
    }

    @Test func removingIsLeftToPostfix() async throws {
        try await Engine.run(FakePostfix()) { engine in
            let id = engine.postfix.put(["u@branch.example"])

            await #expect(throws: MailQueueError.unsupported("Postfix's own tool removes messages: postsuper -d \(id)")) {
                try await engine.queue.remove(id)
            }
        }
    }

    @Test func aQueueThatIsNotThereIsAnErrorAtStart() async throws {
        let postfix = try FakePostfix()
        rmdir("\(postfix.layout.queueDirectory)/hold")

        await #expect(throws: MailQueueError.self) { try await Engine.run(postfix) { _ in } }
    }
}
