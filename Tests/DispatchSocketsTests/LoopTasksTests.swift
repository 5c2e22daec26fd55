// Tasks that stay on the loop: what is done at once, what comes back, and their end.

import DispatchSockets
import Glibc
import Testing

extension SocketTests {
    @Suite struct LoopTasksTests {
        /// Operations must keep to the isolation they are begun in, which closures of this module do when they call such a method.
        struct Operations: Sendable {
            let loop: EventLoop
            let counter: ExecutorTests.Counter
            let order = Recorder<String>()

            nonisolated(nonsending) func note(_ word: String) async { order.add(word) }

            nonisolated(nonsending) func ask(_ word: String) async {
                let isCurrent = await counter.increment()
                order.add(isCurrent && loop.isCurrent ? word : "elsewhere")
            }

            nonisolated(nonsending) func wait(_ word: String, in pool: IOPool) async {
                await pool.run { _ = usleep(1000) }
                order.add(loop.isCurrent ? word : "elsewhere")
            }

            nonisolated(nonsending) func begin(_ word: String, in tasks: LoopTasks) async {
                tasks.begin { await self.ask("inner " + word) }
                order.add(word)
            }
        }

        let loop: EventLoop
        let operations: Operations

        init() throws {
            loop = try EventLoop(label: "test")
            operations = Operations(loop: loop, counter: .init(loop: loop))
        }

        @Test func whatNeverWaitsIsDoneBeforeBeginReturns() {
            loop.sync { [operations, loop] in
                let tasks = LoopTasks(loop)
                for number in 0..<1000 {
                    tasks.begin { await operations.ask("\(number)") }
                    operations.order.add("then \(number)")
                }
            }
            #expect(operations.order.values == (0..<1000).flatMap { ["\($0)", "then \($0)"] })
            loop.shutdown()
        }

        @Test func anOperationMayBeginAnother() {
            loop.sync { [operations, loop] in
                let tasks = LoopTasks(loop)
                for number in 0..<3 { tasks.begin { await operations.begin("\(number)", in: tasks) } }
            }
            #expect(operations.order.values == (0..<3).flatMap { ["inner \($0)", "\($0)"] })
            loop.shutdown()
        }

        @Test func manyWaitAtOnceAndComeBackToTheLoop() async {
            let pool = IOPool(label: "test", width: 2)
            let tasks = LoopTasks(loop)
            for round in 0..<3 {
                loop.sync { [operations] in
                    for number in 0..<200 { tasks.begin { await operations.wait("\(number)", in: pool) } }
                    tasks.begin { await operations.note("meanwhile") }
                }
                await operations.order.wait(forCount: 201 * (round + 1))
            }
            let words = operations.order.values
            #expect(!words.contains("elsewhere"))
            #expect(words.filter { $0 == "meanwhile" }.count == 3)
            #expect(Set(words).count == 201)
            loop.shutdown()
        }

        /// As a server has it: its operations hold it, and it holds the tasks.
        final class Owner: Sendable {
            let tasks: LoopTasks
            let operations: Operations

            init(_ loop: EventLoop, _ operations: Operations) {
                tasks = LoopTasks(loop)
                self.operations = operations
            }

            func begin() { tasks.begin { await self.ask() } }

            nonisolated(nonsending) private func ask() async { await operations.ask("asked") }
        }

        @Test func idleTasksHoldNeitherTheirOperationsNorTheOwner() {
            weak var gone: Owner?
            do {
                let owner = Owner(loop, operations)
                gone = owner
                loop.sync { for _ in 0..<3 { owner.begin() } }
            }
            for _ in 0..<10_000 where gone != nil { usleep(1000) }
            #expect(gone == nil)
            #expect(operations.order.values == ["asked", "asked", "asked"])
            loop.shutdown()
        }

        @Test func idleTasksHoldNobody() async throws {
            weak var gone: EventLoop?
            do {
                let loop = try EventLoop(label: "gone")
                gone = loop
                let pool = IOPool(label: "test", width: 2)
                let operations = Operations(loop: loop, counter: .init(loop: loop))
                let tasks = LoopTasks(loop)
                loop.sync {
                    for _ in 0..<100 { tasks.begin { await operations.wait("done", in: pool) } }
                }
                await operations.order.wait(forCount: 100)
                loop.shutdown()
            }
            for _ in 0..<10_000 where gone != nil { usleep(1000) }
            #expect(gone == nil)
        }
    }
}
