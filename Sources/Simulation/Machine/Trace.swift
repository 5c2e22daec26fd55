// What happened, in order: a number to compare two runs by, and lines for people.

import FlushCore

/// A run's record.
// @unchecked: the simulation has one thread.
final class Trace: @unchecked Sendable {
    /// FNV-1a over all that was noted.
    private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    private let isPrinting: Bool
    private let clock: SimulatedClock

    init(clock: SimulatedClock, isPrinting: Bool) {
        self.clock = clock
        self.isPrinting = isPrinting
    }

    /// - Parameters:
    ///   - kind: what happened, with `numbers` saying to whom.
    ///   - text: the same for people; made only when somebody reads it.
    func note(_ kind: StaticString, _ numbers: Int..., text: @autoclosure () -> String = "") {
        for offset in 0..<kind.utf8CodeUnitCount { mix(UInt64(kind.utf8Start[offset])) }
        for number in numbers { mix(UInt64(bitPattern: Int64(number))) }
        mix(UInt64(bitPattern: clock.now.microseconds))
        guard isPrinting else { return }
        print("\(clock.elapsed)\t\(kind) \(numbers.map(String.init).joined(separator: " ")) \(text())")
    }

    /// Notes every byte of a text that the product made.
    func note(_ kind: StaticString, _ text: String) {
        for byte in text.utf8 { mix(UInt64(byte)) }
        note(kind, text.utf8.count, text: text)
    }

    private func mix(_ value: UInt64) { hash = (hash ^ value) &* 0x100_0000_01b3 }
}
