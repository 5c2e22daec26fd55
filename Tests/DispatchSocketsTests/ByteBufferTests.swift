// The byte queue.

import DispatchSockets
import Testing

@Suite struct ByteBufferTests {
    @Test func whatGoesInComesOutInOrder() {
        var buffer = ByteBuffer()
        var expected: [UInt8] = []
        var random = SystemRandomNumberGenerator()
        for round in 0..<2000 {
            let chunk = (0..<Int.random(in: 0...300, using: &random)).map { UInt8(truncatingIfNeeded: $0 &+ round) }
            let taken = buffer.append(chunk)
            #expect(taken)
            expected += chunk
            let drop = Int.random(in: 0...min(350, expected.count), using: &random)
            buffer.consume(drop)
            expected.removeFirst(drop)
            guard buffer.count == expected.count, buffer.array == expected else {
                Issue.record("differs in round \(round)")
                return
            }
        }
        buffer.withSpan { span in
            #expect(span.byteCount == expected.count)
        }
    }

    @Test func takesAllOrNothingAtItsLimit() {
        var buffer = ByteBuffer(limit: 10)

        let fits = buffer.append([1, 2, 3, 4, 5, 6])
        let tooMuch = buffer.append([1, 2, 3, 4, 5])
        #expect(buffer.count == 6)
        buffer.consume(1)
        let justFits = buffer.append([7, 8, 9, 10, 11])
        let oneMore = buffer.append([0])
        let nothing = buffer.append([] as [UInt8])

        #expect([fits, tooMuch, justFits, oneMore, nothing] == [true, false, true, false, true])
        #expect(buffer.array == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    }

    @Test func consumingMoreThanThereIsEmptiesIt() {
        var buffer = ByteBuffer()
        _ = buffer.append([1, 2, 3])

        buffer.consume(100)

        #expect(buffer.isEmpty)
        let taken = buffer.append([4])
        #expect(taken)
        #expect(buffer.array == [4])
    }

    @Test func aCopyIsIndependent() {
        var buffer = ByteBuffer()
        _ = buffer.append([1, 2, 3])
        var copy = buffer

        copy.consume(2)
        _ = copy.append([9])

        #expect(buffer.array == [1, 2, 3])
        #expect(copy.array == [3, 9])
    }
}
