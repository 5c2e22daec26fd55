// A simulated machine: a thread, clocks, a disk, and the seed's chance.

import FlushCore
import FlushTesting

/// A promise of the product that was not kept.
struct Violation: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// What a world needs to run processes in it.
// @unchecked: the simulation has one thread.
final class Machine: @unchecked Sendable {
    /// Pieces after which a world that does not come to rest never will.
    private static let restLimit = 200_000

    let scheduler: Scheduler
    let clock = SimulatedClock()
    let trace: Trace
    let disk: SimulatedDisk
    private var random: SeededRandom

    init(seed: UInt64, isPrinting: Bool) {
        // Separate streams: what one draws more does not shift what the others get.
        random = SeededRandom(seed: seed)
        scheduler = Scheduler(random: SeededRandom(seed: random.next()))
        trace = Trace(clock: clock, isPrinting: isPrinting)
        disk = SimulatedDisk(clock: clock, trace: trace, random: SeededRandom(seed: random.next()))
    }

    // MARK: Chance

    func chance(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    func isLucky(oneIn bound: Int) -> Bool { chance(bound) == 0 }
    func choice<Element>(_ elements: [Element]) -> Element? { elements.isEmpty ? nil : elements[chance(elements.count)] }
    func nextRandom() -> UInt64 { random.next() }

    // MARK: Running

    /// Runs some pieces, so that what comes next comes in the middle of something.
    func run(some bound: Int) {
        for _ in 0..<chance(bound) where !disk.hasCrashed { if !scheduler.step() { return } }
    }

    /// Runs until only time can make something happen, or the process has died.
    func settle() throws(Violation) {
        var left = Self.restLimit
        while !disk.hasCrashed, scheduler.step() {
            left -= 1
            guard left > 0 else { throw Violation("the process does not come to rest") }
        }
    }

    /// An answer that has come, or not yet.
    // @unchecked: the simulation has one thread.
    final class Answer<Value>: @unchecked Sendable { fileprivate(set) var result: Result<Value, any Error>? }

    func ask<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) -> Answer<Value> {
        let answer = Answer<Value>()
        Task { do { answer.result = .success(try await body()) } catch { answer.result = .failure(error) } }
        return answer
    }

    /// Asks something that must be answered without that time passes; nil when the process dies meanwhile.
    func answer<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value? {
        let answer = ask(body)
        try settle()
        guard !disk.hasCrashed else { return nil }
        guard let result = answer.result else { throw Violation("a question is not answered") }
        return try result.get()
    }

    /// Runs what a dead process still does to itself.
    func bury() throws(Violation) {
        guard scheduler.run(atMost: Self.restLimit) else { throw Violation("a dead process does not come to rest") }
    }

    /// Lets time pass: everybody wakes in turn, and does what it does, before the next.
    func pass(_ duration: Duration, of time: SimulatedTime, between body: () -> Void = {}) throws(Violation) {
        let end = clock.elapsed + duration
        try settle()
        while let wake = time.nextWake, wake <= end, !disk.hasCrashed {
            clock.advance(to: wake)
            while time.wakeNext() { try settle() }
            body()
            try settle()
        }
        clock.advance(to: end)
    }
}
