// What was simulated, counted over many seeds.

/// The counts of the closing line.
public struct Tally: Sendable {
    public var seeds = 0
    public var steps = 0
    public var diskOperations = 0
    public var kills = 0
    public var powerCuts = 0
    public var restarts = 0
    public var tornWrites = 0
    public var lostWrites = 0
    public var lostNames = 0
    public var full = 0
    public var diskErrors = 0
    public var failedSyncs = 0
    public var messages = 0
    public var flushes = 0
    public var adds = 0
    public var deliveries = 0
    public var duplicates = 0
    public var reports = 0

    public init() {}

    public static func += (sum: inout Tally, other: Tally) {
        for path in counts { sum[keyPath: path] += other[keyPath: path] }
    }

    private static var counts: [WritableKeyPath<Tally, Int>] {
        [
            \.seeds, \.steps, \.diskOperations, \.kills, \.powerCuts, \.restarts, \.tornWrites, \.lostWrites, \.lostNames, \.full, \.diskErrors,
            \.failedSyncs, \.messages, \.flushes, \.adds, \.deliveries, \.duplicates, \.reports,
        ]
    }

    mutating func take(_ disk: SimulatedDisk.Counts) {
        diskOperations = disk.operations
        kills = disk.kills
        powerCuts = disk.powerCuts
        tornWrites = disk.tornWrites
        lostWrites = disk.lostWrites
        lostNames = disk.lostNames
        full = disk.fullErrors
        diskErrors = disk.inputErrors
        failedSyncs = disk.failedSyncs
    }
}

extension Tally: CustomStringConvertible {
    public var description: String {
        """
        \(seeds) seeds, \(steps) steps, \(diskOperations) disk operations; \(kills) kills, \(powerCuts) power cuts, \(restarts) orderly restarts; \
        \(tornWrites) torn writes, \(lostWrites) lost writes, \(lostNames) lost names, \(full) times full, \(diskErrors) disk errors, \
        \(failedSyncs) failed syncs; \(messages) messages, \(flushes) flushes, \(adds) adds, \(deliveries) deliveries \
        (\(duplicates) of them twice), \(reports) reports
        """
    }
}
