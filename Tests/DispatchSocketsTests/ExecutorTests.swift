// Tasks and actors on the loop, and blocking work beside it.

import Dispatch
import DispatchSockets
import Glibc
import Synchronization
import Testing

extension SocketTests {
    @Suite struct ExecutorTests {
        /// An actor as the core has them: its executor is the loop.
        actor Counter {
            let loop: EventLoop
            var count = 0

            init(loop: EventLoop) { self.loop = loop }

            nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

            func increment() -> Bool {
                count += 1
                return loop.isCurrent
            }

            func incrementAfter(_ pool: IOPool) async -> [Bool] {
                let before = loop.isCurrent
                let inside = await pool.run { [loop] in loop.isCurrent }
                count += 1
                return [before, inside, loop.isCurrent]
            }
        }

        actor Bystander {
            func isOn(_ loop: EventLoop) -> Bool { loop.isCurrent }
        }

        nonisolated static func isOn(_ loop: EventLoop) async -> Bool {
            await Task.yield()
            return loop.isCurrent
        }

        let loop: EventLoop

        init() throws { loop = try EventLoop(label: "test") }

        @Test func anActorOnTheLoopNeverLeavesIt() async {
            let counter = Counter(loop: loop)
            let pool = IOPool(label: "test", width: 2)

            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<1000 { group.addTask { await counter.increment() } }
                for await isCurrent in group { #expect(isCurrent) }
            }

            let places = await counter.incrementAfter(pool)
            let count = await counter.count
            #expect(places == [true, false, true])
            #expect(count == 1001)
            loop.shutdown()
        }

        @Test func aTaskWithTheLoopAsPreferenceStaysOnIt() async {
            let loop = loop
            let bystander = Bystander()

            let places = await Task(executorPreference: loop) {
                var places = [loop.isCurrent]
                places.append(await Self.isOn(loop))
                places.append(await bystander.isOn(loop))
                places.append(loop.isCurrent)
                return places
            }.value

            #expect(places == [true, true, true, true])
            loop.shutdown()
        }

        @Test func anImmediateTaskBeginsBeforeTheCallerGoesOnAndResumesOnTheLoop() async {
            let loop = loop
            let counter = Counter(loop: loop)
            let order = Recorder<String>()
            let pool = IOPool(label: "test", width: 1)

            loop.execute {
                Task.immediate(executorPreference: loop) {
                    order.add("begun \(loop.isCurrent)")
                    _ = await counter.increment()
                    order.add("after the actor \(loop.isCurrent)")
                    await pool.run {}
                    order.add("after the pool \(loop.isCurrent)")
                }
                order.add("the caller goes on")
            }
            await order.wait(forCount: 4)

            #expect(order.values.first == "begun true")
            #expect(order.values.contains("the caller goes on"))
            #expect(order.values.last == "after the pool true")
            #expect(order.values.contains("after the actor true"))
            loop.shutdown()
        }

        @Test func aCallbackMayAssumeTheActorsIsolation() async {
            let counter = Counter(loop: loop)

            let count = loop.sync {
                counter.assumeIsolated { counter in
                    counter.count += 41
                    return counter.count + 1
                }
            }

            #expect(count == 42)
            loop.shutdown()
        }

        @Test func aHandlerMayAnswerFromATask() async throws {
            let counter = Counter(loop: loop)
            let pool = IOPool(label: "test", width: 2)
            let server = try TestServer(loop: loop) { connection, event in
                guard case .received = event else { return }
                connection.pauseReading()
                Task.immediate(executorPreference: connection.loop) {
                    _ = await counter.increment()
                    await pool.run {}
                    connection.write("done")
                    connection.resumeReading()
                }
            }
            let clients = try (0..<8).map { _ in try server.connect() }

            for _ in 0..<50 {
                for client in clients { try client.send("do") }
                for client in clients { #expect(try client.receiveText(count: 4) == "done") }
            }

            let count = await counter.count
            #expect(count == 400)
        }

        @Test func errorsComeBackWithTheirType() async {
            let pool = IOPool(label: "test", width: 1)
            do throws(Refused) {
                _ = try loop.sync(Self.refuse)
                Issue.record("not thrown")
            } catch { #expect(error.number == 1) }
            do throws(Refused) {
                _ = try await loop.run(Self.refuse)
                Issue.record("not thrown")
            } catch { #expect(error.number == 1) }
            do throws(Refused) {
                _ = try await pool.run(Self.refuse)
                Issue.record("not thrown")
            } catch { #expect(error.number == 1) }
            let loop = loop
            let onIt = await loop.run { loop.isCurrent }
            #expect(onIt)
            loop.shutdown()
        }

        struct Refused: Error { let number = 1 }

        @Sendable static func refuse() throws(Refused) -> Int { throw Refused() }

        @Test func aPoolRunsNoMoreThanItsWidthAtOnceAndEverythingOnce() async {
            let pool = IOPool(label: "test", width: 3)
            let gauge = Gauge()

            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<500 {
                    group.addTask { await pool.run { gauge.passThrough() } }
                }
            }

            let seen = gauge.seen
            #expect(seen.total == 500)
            #expect(seen.most <= 3)
            #expect(pool.backlog == 0)
        }

        /// Counts who is inside at once.
        final class Gauge: Sendable {
            private let state = Mutex((now: 0, most: 0, total: 0))

            var seen: (now: Int, most: Int, total: Int) { state.withLock { $0 } }

            func passThrough() {
                state.withLock {
                    $0.now += 1
                    $0.total += 1
                    $0.most = max($0.most, $0.now)
                }
                // Few: beside busy processes each is a whole turn of theirs.
                for _ in 0..<4 { sched_yield() }
                state.withLock { $0.now -= 1 }
            }
        }

        @Test func aPoolOfOneKeepsTheOrderAndRefusesWhatIsTooMuch() async {
            let pool = IOPool(label: "test", width: 1, maximumBacklog: 10)
            let gate = DispatchSemaphore(value: 0)
            let order = Recorder<Int>()
            let first = pool.submit { gate.wait() }
            #expect(first)

            let taken = (0..<12).map { number in pool.submit { order.add(number) } }
            #expect(pool.backlog == 10)
            gate.signal()
            await order.wait(forCount: 10)

            #expect(taken == Array(repeating: true, count: 10) + [false, false])
            #expect(order.values == Array(0..<10))
        }
    }
}
