// What engines may rely on when the one who follows their events is behind.

import FlushCore
import FlushTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(5))) struct EventBufferTests {
    private func left(_ number: Int) -> QueueEvent { .left(Samples.queueID(number)) }

    private func drained(_ buffer: EventBuffer) async -> [QueueEvent] {
        var events: [QueueEvent] = []
        for await event in buffer.stream { events.append(event) }
        return events
    }

    @Test func eventsThatNobodyTakesBecomeARescan() async throws {
        let buffer = EventBuffer(limit: 10)
        for number in 0..<11 { buffer.send(left(number)) }
        buffer.send(left(11))
        buffer.end()

        #expect(await drained(buffer) == [.rescanNeeded, left(11)])
    }

    @Test func whoWaitsForRoomLosesNothing() async {
        let buffer = EventBuffer(limit: 3)
        let sent = Mutex(0)
        let sender = Task {
            for number in 0..<5_000 {
                await buffer.sendWaiting(left(number))
                sent.withLock { $0 += 1 }
            }
            buffer.end()
        }
        var events: [QueueEvent] = []

        for await event in buffer.stream {
            events.append(event)
            // One that waits, and at most a buffer of others, are ahead of who takes.
            #expect(sent.withLock { $0 } <= events.count + 3)
        }

        await sender.value
        #expect(events == (0..<5_000).map(left))
    }

    @Test func anEndLetsTheSenderGoAndKeepsWhatWasSent() async {
        let buffer = EventBuffer(limit: 1)
        let sender = Task {
            await buffer.sendWaiting(left(0))
            await buffer.sendWaiting(left(1))
        }
        // In the buffer by now, or dropped because the end came first: either way the sender returns.
        buffer.end()
        await sender.value

        buffer.send(left(2))
        await buffer.sendWaiting(left(3))

        #expect(await drained(buffer).allSatisfy { $0 == left(0) })
    }

    @Test func aLossLetsTheSenderGo() async {
        let buffer = EventBuffer(limit: 1)
        let sender = Task { await buffer.sendWaiting(left(0)) }
        // Whatever comes first, one of these finds the buffer full.
        for number in 1...2 {
            buffer.send(left(number))
            await Task.yield()
        }
        let taker = Task { await drained(buffer) }
        await sender.value
        buffer.end()

        #expect(await taker.value.contains(.rescanNeeded))
    }

    @Test func aConsumerThatIsCancelledStopsWaiting() async {
        let buffer = EventBuffer()
        let consumer = Task { await drained(buffer) }
        await Task.yield()

        consumer.cancel()

        #expect(await consumer.value.isEmpty)
    }
}
