// The loop: order of work, timers, watches, and its end.

import Dispatch
import Glibc
import Testing

@testable import DispatchSockets

extension SocketTests {
    @Suite struct EventLoopTests {
        let loop: EventLoop

        init() throws { loop = try EventLoop(label: "test") }

        @Test func knowsWhetherItIsCurrent() {
            #expect(!loop.isCurrent)
            let onIt = loop.sync { [loop] in loop.isCurrent }
            #expect(onIt)
            #expect(!loop.isCurrent)
            loop.shutdown()
        }

        @Test func workGivenOnTheLoopRunsAfterTheCaller() async {
            let order = Recorder<Int>()
            loop.execute { [loop] in
                loop.execute {
                    order.add(2)
                    loop.execute { order.add(3) }
                }
                order.add(1)
            }

            await order.wait(forCount: 3)

            #expect(order.values == [1, 2, 3])
            loop.shutdown()
        }

        @Test func workFromManyThreadsIsDoneOnceAndInEachThreadsOrder() async throws {
            let server = try TestServer(loop: loop, react: ConnectionTests.echo)
            let threads = 8
            let each = 5_000
            let done = Recorder<[Int]>()
            let state = OnLoop(value: Tally(threads: threads))
            let client = try server.connect()

            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                for number in 0..<each {
                    loop.execute { state.value.note(thread, number) }
                }
            }
            loop.execute { done.add(state.value.next) }
            try client.send("alive")
            #expect(try client.receiveText(count: 5) == "alive")
            await done.wait(forCount: 1)

            #expect(done.values == [Array(repeating: each, count: threads)])
            let disorder = loop.sync { state.value.disorder }
            #expect(disorder == 0)
        }

        /// Touched only on the loop.
        final class Box<Content> {
            var content: Content
            init(_ content: Content) { self.content = content }
        }

        /// Touched only on the loop.
        final class Tally {
            var next: [Int]
            var disorder = 0
            init(threads: Int) { next = Array(repeating: 0, count: threads) }
            func note(_ thread: Int, _ number: Int) {
                if next[thread] != number { disorder += 1 }
                next[thread] = number + 1
            }
        }

        @Test func endlessWorkDoesNotStarveTheSockets() async throws {
            let server = try TestServer(loop: loop, react: ConnectionTests.echo)
            let stop = OnLoop(value: Tally(threads: 1))
            @Sendable func again() {
                if stop.value.disorder == 0 { loop.execute { again() } }
            }
            loop.execute { again() }

            let client = try server.connect()
            for _ in 0..<10 {
                try client.send("ping")
                #expect(try client.receiveText(count: 4) == "ping")
            }

            loop.sync { stop.value.disorder = 1 }
        }

        @Test func timersFireInTheOrderOfTheirTimesAndNeverEarly() async {
            typealias Firing = (due: ClosedRange<ContinuousClock.Instant>, at: ContinuousClock.Instant)
            let fired = Recorder<Firing>()
            loop.sync { [loop] in
                for delay in [300, 50, 200, 0, 100, 200, 10].map({ Duration.milliseconds($0) }) {
                    // A busy machine may stop us between any two lines: the time is known only this well.
                    let before = ContinuousClock.now
                    let due = OnLoop(value: Box(before...before))
                    loop.schedule(after: delay) { fired.add((due.value.content, ContinuousClock.now)) }
                    due.value.content = (before + delay)...(ContinuousClock.now + delay)
                }
            }

            await fired.wait(forCount: 7)

            let firings = fired.values
            #expect(firings.allSatisfy { $0.at >= $0.due.lowerBound })
            #expect(zip(firings, firings.dropFirst()).allSatisfy { $0.due.lowerBound <= $1.due.upperBound })
            loop.shutdown()
        }

        @Test func aCancelledTimerDoesNotFireEvenWhenAnotherOfTheSameMomentCancelsIt() async {
            let fired = Recorder<String>()
            loop.sync { [loop] in
                let never = loop.schedule(after: .milliseconds(1)) { fired.add("cancelled") }
                never.cancel()
                var pair: LoopTimer?
                loop.schedule(after: .milliseconds(5)) { pair?.cancel() }
                pair = loop.schedule(after: .milliseconds(5)) { fired.add("cancelled by another") }
                loop.schedule(after: .milliseconds(10)) { fired.add("last") }
            }

            await fired.wait(forCount: 1)

            #expect(fired.values == ["last"])
            loop.shutdown()
        }

        @Test func aTimerThatSchedulesTheNextForAtOnceDoesNotStarveTheLoop() async {
            let rounds = Recorder<Int>()
            let stop = OnLoop(value: Tally(threads: 1))
            @Sendable func again() {
                guard stop.value.disorder == 0 else { return }
                rounds.add(rounds.values.count)
                loop.schedule(after: .zero) { again() }
            }
            loop.execute { again() }

            await rounds.wait(forCount: 50)
            loop.sync { stop.value.disorder = 1 }

            #expect(rounds.values.count >= 50)
            loop.shutdown()
        }

        @Test func aDeadlineFiresOnceAndNotBeforeItsTime() async throws {
            let server = try TestServer(loop: loop) { connection, event in
                if case .opened = event { connection.setDeadline(after: .milliseconds(20)) }
                if case .timedOut = event {
                    #expect(connection.deadline == nil)
                    connection.close(linger: .zero)
                }
            }
            let start = ContinuousClock.now
            let client = try server.connect()

            await server.events.waitForClose()

            #expect(ContinuousClock.now - start >= .milliseconds(20))
            #expect(server.events.values == [.opened, .timedOut, .closed(nil)])
            client.close()
        }

        @Test func aDeadlineMovesBothWaysAndCanBeTakenBack() async throws {
            let start = ContinuousClock.now
            let server = try TestServer(loop: loop) { connection, event in
                guard case .received(let bytes) = event else { return }
                switch bytes {
                case Array("later".utf8):
                    connection.deadline = start + .milliseconds(10)
                    for step in 1...50 { connection.deadline = start + .milliseconds(10 + step) }
                case Array("earlier".utf8):
                    connection.deadline = start + .seconds(3600)
                    connection.deadline = start + .milliseconds(10)
                default:
                    connection.deadline = start + .milliseconds(1)
                    connection.deadline = nil
                }
            }
            let later = try server.connect()
            let earlier = try server.connect()
            let never = try server.connect()
            try never.send("never")
            try later.send("later")
            try earlier.send("earlier")

            await server.events.wait { $0.filter { $0 == .timedOut }.count == 2 }

            #expect(ContinuousClock.now - start >= .milliseconds(60))
            let timers = loop.sync { [loop] in loop.timers.count }
            #expect(timers <= 1)
            #expect(server.events.values.filter { $0 == .timedOut }.count == 2)
            for client in [later, earlier, never] { client.close() }
        }

        @Test func watchesADescriptorOfSomebodyElse() async throws {
            var ends: [CInt] = [0, 0]
            let code = pipe(&ends)
            try #require(code == 0)
            // Closed on exec: a child of another test would keep the writing end open.
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            let (reader, writer) = (ends[0], ends[1])
            _ = fcntl(reader, F_SETFL, O_NONBLOCK)
            let seen = Recorder<Interest>()
            let box = Recorder<OnLoop<Watch>>()
            try loop.sync { [loop] () throws(SocketError) in
                let watch = try loop.watch(reader, for: .read) { found in
                    var byte: UInt8 = 0
                    let count = read(reader, &byte, 1)
                    seen.add(found)
                    if count == 0 { box.values[0].value.change(to: []) }
                }
                box.add(OnLoop(value: watch))
            }
            let watch = box.values[0]

            loop.sync { _ = write(writer, "ab", 2) }
            await seen.wait(forCount: 2)
            loop.sync { watch.value.change(to: []) }
            _ = write(writer, "c", 1)
            for _ in 0..<20 { loop.sync {} }
            let whilePaused = seen.values.count
            loop.sync { watch.value.change(to: .read) }
            await seen.wait(forCount: 3)
            close(writer)
            await seen.wait(forCount: 4)

            #expect(whilePaused == 2)
            #expect(seen.values[0] == .read)
            #expect(seen.values[3].contains(.hangup))
            #expect(comesToRest(loop), "a hang-up that nobody waits for makes the loop spin")
            loop.sync {
                watch.value.cancel()
                watch.value.cancel()
            }
            close(reader)
            loop.shutdown()
        }

        @Test func refusesToWatchWhatCannotBeWatched() throws {
            let file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
            defer { close(file) }

            let loop = loop
            #expect(throws: SocketError.system(operation: "epoll_ctl", code: EPERM)) {
                try loop.sync { () throws(SocketError) in OnLoop(value: try loop.watch(file, for: .read) { _ in }) }
            }
            loop.shutdown()
        }

        @Test func aPeerThatLeavesWhileNobodyReadsDoesNotMakeTheLoopSpin() async throws {
            let directory = try TemporaryDirectory()
            let server = try TestServer(at: .unix(path: directory.path + "/s"), loop: loop) { connection, event in
                if case .opened = event { connection.pauseReading() }
            }
            let unread = try server.connect()
            try unread.send("unread")
            let silent = try server.connect()
            await server.events.wait(forCount: 2)
            unread.close()
            silent.close()

            #expect(comesToRest(loop))
        }

        @Test func aHalfClosedPeerDoesNotMakeTheLoopSpin() async throws {
            let directory = try TemporaryDirectory()
            for address in [SocketAddress.ipv4(0x7f00_0001, port: 0), .unix(path: directory.path + "/s")] {
                let server = try TestServer(at: address) { _, _ in }
                let half = try server.connect()
                half.finishSending()
                let gone = try server.connect()
                gone.close()
                await server.events.wait { $0.filter { $0 == .end }.count == 2 }

                #expect(comesToRest(server.loop))
            }
        }

        @Test func shutdownClosesWhatIsLeftAndTheLoopGoes() async throws {
            weak var gone: EventLoop?
            let events: Recorder<Event>
            do {
                let server = try TestServer(react: ConnectionTests.echo)
                events = server.events
                gone = server.loop
                let client = try server.connect()
                try client.send("x")
                _ = try client.receive(count: 1)
                let timer = server.loop.sync { OnLoop(value: server.loop.schedule(after: .seconds(3600)) {}) }

                server.loop.shutdown()

                #expect(throws: ClientError.self) { _ = try client.receive(count: 1) }
                await events.waitForClose()
                #expect(throws: SocketError.resource("the event loop test has been shut down")) {
                    try TestServer(loop: server.loop) { _, _ in }
                }
                server.loop.sync { timer.value.cancel() }
            }
            for _ in 0..<10_000 where gone != nil { usleep(1000) }
            #expect(gone == nil)
            #expect(events.values.last == .closed(nil))
        }
    }
}

/// Whether the loop stops doing turns by itself. What has happened already may come late on a busy machine, so there are some tries; a
/// loop that spins makes a turn between most of two visits, each time.
func comesToRest(_ loop: EventLoop) -> Bool {
    for _ in 0..<50 {
        let turns = loop.sync { loop.turnCount }
        for _ in 0..<200 { loop.sync {} }
        if loop.sync({ loop.turnCount }) <= turns + 2 { return true }
    }
    return false
}
