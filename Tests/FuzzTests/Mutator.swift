// Inputs made of kept ones by chance, the same for the same seed.

import FlushTesting

/// Changes inputs in the ways that find faults in parsers.
struct Mutator {
    private static let maximumChanges = 5
    private static let maximumStretch = 64
    /// Bytes that mean something to one of the parsers.
    private static let marks = Array("\r\n\0\t .,:;=-@#$%{}[]<>()/\\\"'!?&+09aAfFzZ~".utf8) + [0x7f, 0x80, 0xc3, 0xff]

    private let inputs: [[UInt8]]
    private let maximumLength: Int
    private var generator: SeededRandom

    init(inputs: [[UInt8]], maximumLength: Int, seed: UInt64) {
        self.inputs = inputs.isEmpty ? [[]] : inputs
        self.maximumLength = maximumLength
        generator = SeededRandom(seed: seed)
    }

    mutating func next() -> [UInt8] {
        var input = inputs.randomElement(using: &generator) ?? []
        for _ in 0..<Int.random(in: 1...Self.maximumChanges, using: &generator) { change(&input) }
        return Array(input.prefix(maximumLength))
    }

    private mutating func change(_ input: inout [UInt8]) {
        let start = Int.random(in: 0...input.count, using: &generator)
        let end = min(input.count, start + Int.random(in: 0...Self.maximumStretch, using: &generator))
        switch Int.random(in: 0..<7, using: &generator) {
        case 0 where start < input.count: input[start] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1 where start < input.count: input[start] = Self.marks.randomElement(using: &generator) ?? 0
        case 2: input.insert(Self.marks.randomElement(using: &generator) ?? 0, at: start)
        case 3: input.removeSubrange(start..<end)
        case 4:
            // A stretch again and again: what is counted somewhere has a bound.
            let times = Int.random(in: 1...20, using: &generator)
            let stretch = Array(input[start..<end])
            input.insert(contentsOf: (0..<times).flatMap { _ in stretch }, at: start)
        case 5:
            let other = inputs.randomElement(using: &generator) ?? []
            let from = Int.random(in: 0...other.count, using: &generator)
            input.replaceSubrange(start..<end, with: other[from..<min(other.count, from + Self.maximumStretch)])
        default: input.insert(UInt8.random(in: 0...255, using: &generator), at: start)
        }
    }
}
