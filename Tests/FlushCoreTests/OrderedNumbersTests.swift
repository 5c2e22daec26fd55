// A sorted sequence in chunks does what a sorted array does.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct OrderedNumbersTests {
    func list(_ numbers: OrderedNumbers, from wanted: Int32 = .min) -> [Int32] {
        var position = numbers.lowerBound { $0 < wanted }
        var found: [Int32] = []
        while let next = numbers.next(&position) { found.append(next) }
        return found
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func staysInOrderWhileNumbersComeAndGo(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var numbers = OrderedNumbers()
        var model: Set<Int32> = []
        for step in 0..<20_000 {
            let number = Int32.random(in: 0..<5000, using: &random)
            // Grows first, then shrinks: chunks are split and emptied.
            if !model.contains(number), step < 10_000 || number % 5 == 0 {
                numbers.insert(number, at: numbers.lowerBound { $0 < number })
                model.insert(number)
            } else if model.contains(number), step >= 10_000 || number % 5 == 0 {
                numbers.remove(at: numbers.lowerBound { $0 < number })
                model.remove(number)
            }
        }

        #expect(list(numbers) == model.sorted())
        for start in [-1, 0, 17, 2499, 4999, 5000] as [Int32] {
            #expect(list(numbers, from: start) == model.filter { $0 >= start }.sorted())
        }
    }

    @Test func keepsWhatComesInOrderAndInReverse() {
        for numbersInOrder in [Array(0..<3000 as Range<Int32>), (0..<3000 as Range<Int32>).reversed()] {
            var numbers = OrderedNumbers()
            for number in numbersInOrder { numbers.insert(number, at: numbers.lowerBound { $0 < number }) }
            #expect(list(numbers) == Array(0..<3000))
            for number in numbersInOrder { numbers.remove(at: numbers.lowerBound { $0 < number }) }
            #expect(list(numbers).isEmpty)
        }
    }
}
