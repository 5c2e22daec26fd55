// The clock that tests move: other suites trust its order.

import FlushCore
import FlushTesting
import Testing

@Suite(.timeLimit(.minutes(5))) struct ManualTimeTests {
    @Test func standsStillUntilItIsMoved() async {
        let time = ManualTime(now: Timestamp(seconds: 100))

        await time.advance(by: .seconds(5))

        #expect(time.now == Timestamp(seconds: 105))
        time.jump(by: .seconds(-50))
        #expect(time.now == Timestamp(seconds: 55))
        #expect(time.sleepers == 0)
        #expect(time.nextWake == nil)
    }

    @Test func wakesSleepersInOrderAtTheirTime() async {
        let time = ManualTime(now: Timestamp(seconds: 0))
        let woken = Recorder<Int64>()
        time.settles { [unowned time] in
            while time.sleepers + woken.elements.count < 4 { await Task.yield() }
        }
        await withTaskGroup { group in
            for seconds in [3, 1, 2, 9] as [Int64] {
                group.addTask {
                    await time.sleep(for: .seconds(seconds))
                    #expect(time.now >= Timestamp(seconds: seconds))
                    woken.append(seconds)
                }
            }
            await time.waitForSleepers(4)
            #expect(time.nextWake == .seconds(1))

            await time.advance(by: .seconds(2))
            #expect(time.sleepers == 2)
            await time.advance(by: .milliseconds(999))
            #expect(time.sleepers == 2)
            await time.advance(by: .seconds(100))
            await group.waitForAll()
        }
        #expect(woken.elements == [1, 2, 3, 9])
    }

    @Test func aSleeperThatSleepsAgainIsWokenWithinTheSameAdvance() async {
        let time = ManualTime(now: Timestamp(seconds: 0))
        let ticks = Recorder<Timestamp>()
        time.settles { [unowned time] in
            while time.sleepers == 0, ticks.elements.count < 3 { await Task.yield() }
        }
        let task = Task {
            for _ in 0..<3 {
                await time.sleep(for: .seconds(10))
                ticks.append(time.now)
            }
        }
        await time.waitForSleepers(1)

        await time.advance(by: .seconds(35))

        await task.value
        #expect(ticks.elements == [10, 20, 30].map(Timestamp.init(seconds:)))
    }

    @Test func aCancelledSleeperReturnsAtOnce() async {
        let time = ManualTime()
        let task = Task { await time.sleep(for: .seconds(1)) }
        await time.waitForSleepers(1)
        task.cancel()
        await task.value
        #expect(time.sleepers == 0)

        let early = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            await time.sleep(for: .seconds(1))
        }
        await early.value
        #expect(time.sleepers == 0)
    }
}
