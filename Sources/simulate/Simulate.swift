// The command: which seeds, how many at once, what is printed.

import ArgumentParser
import Glibc
import Simulation

@main
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Runs the core, the log files and the spool over a simulated disk, clock and queue.",
        discussion: """
            Every seed is a story with crashes, torn writes, lost names, a full or failing disk and lost news; in the end everything must add up. \
            A seed that fails is named with the promise that was not kept; --seed N tells its story. Exits with 1 when a seed fails.
            """)

    @Option(help: ArgumentHelp("These seeds, from A to B.", valueName: "A..B"))
    var seeds = "1..10000"

    @Option(help: "Only this seed, with its story.")
    var seed: UInt64?

    @Option(help: "Only this world, core or spool. (default: each in turn)", transform: Simulate.worldNamed)
    var world: Stories.World?

    @Flag(help: "Print each seed's hash: equal for equal stories.")
    var hashes = false

    /// Failed seeds that are named; the rest are only counted.
    private static let maximumNamed = 20

    private static func worldNamed(_ name: String) throws -> Stories.World {
        guard let world = Stories.World(rawValue: name) else { throw ValidationError("there is no world '\(name)'") }
        return world
    }

    func validate() throws {
        if seed == nil, range == nil { throw ValidationError("--seeds wants A..B with A not above B, not '\(seeds)'") }
    }

    private var range: ClosedRange<UInt64>? {
        let ends = seeds.split(separator: ".", omittingEmptySubsequences: true).map { UInt64($0) }
        guard ends.count == 2, seeds.contains(".."), let first = ends[0], let last = ends[1], first <= last else { return nil }
        return first...last
    }

    func run() throws {
        try Self.makeHashingDeterministic()
        var sum = Tally()
        var failed = 0
        for number in seed.map({ $0...$0 }) ?? range ?? 1...1 {
            let world = world ?? Stories.World.allCases[Int(number % UInt64(Stories.World.allCases.count))]
            let outcome = Stories.run(seed: number, in: world, isPrinting: seed != nil)
            sum += outcome.tally
            if hashes || seed != nil { print("seed \(number) in \(world.rawValue): \(String(outcome.hash, radix: 16))") }
            guard let violation = outcome.violation else { continue }
            failed += 1
            if failed <= Self.maximumNamed { print("seed \(number) in \(world.rawValue) FAILED: \(violation)") }
        }
        print("simulation: \(sum); \(failed) failed")
        if failed > 0 { throw ExitCode.failure }
    }

    /// The order of sets and dictionaries is a part of each story: starts this program anew when it is left to chance.
    private static func makeHashingDeterministic() throws {
        let name = "SWIFT_DETERMINISTIC_HASHING"
        guard getenv(name) == nil else { return }
        setenv(name, "1", 1)
        var arguments = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", arguments)
        throw ValidationError("this program cannot be started anew: error \(errno)")
    }
}
