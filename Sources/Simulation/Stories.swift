// The product in simulated worlds: seeds in, verdicts out.

import FlushCore

/// Tells seeds' stories.
///
/// A seed is a story that always happens in the same way, provided that the process was started with `SWIFT_DETERMINISTIC_HASHING`: the
/// order of sets and dictionaries is a part of it. One seed at a time, on one thread.
public enum Stories {
    public enum World: String, Sendable, CaseIterable {
        /// The core, its index and log files, beside a queue that somebody else runs.
        case core
        /// The spool below the core: mail comes in, goes out, and is reported about.
        case spool
    }

    public struct Outcome: Sendable {
        public var seed: UInt64
        public var world: World
        /// Equal for equal stories.
        public var hash: UInt64
        public var tally: Tally
        /// Which promise was not kept; nil when all were.
        public var violation: String?
    }

    /// - Parameter isPrinting: the story is printed while it happens.
    public static func run(seed: UInt64, in world: World, isPrinting: Bool = false) -> Outcome {
        let machine = Machine(seed: seed, isPrinting: isPrinting)
        guard GlobalTasks.take(for: machine.scheduler) else {
            return Outcome(
                seed: seed, world: world, hash: 0, tally: Tally(), violation: "this Swift runtime does not let its tasks be taken")
        }
        var tally = Tally()
        var violation: String?
        do {
            switch world {
            case .core: tally = try CoreWorld(machine).run()
            case .spool: tally = try SpoolWorld(machine).run()
            }
        } catch { violation = "\(error)" }
        tally.seeds = 1
        tally.steps = machine.scheduler.steps
        tally.take(machine.disk.counts)
        return Outcome(seed: seed, world: world, hash: machine.trace.hash, tally: tally, violation: violation)
    }
}
