// The simulated disk: what it may lose, and what it must not.

import DiskPort
import FlushCore
import FlushTesting
import Testing

@testable import Simulation

@Suite(.timeLimit(.minutes(5))) struct SimulatedDiskTests {
    /// A disk with a process, and what the next process finds after a crash.
    private struct Rig {
        let disk: SimulatedDisk
        let folder: any DiskFolder

        init(seed: UInt64) throws {
            let clock = SimulatedClock()
            disk = SimulatedDisk(clock: clock, trace: Trace(clock: clock, isPrinting: false), random: SeededRandom(seed: seed))
            let mount = disk.boot()
            folder = try mount.openFolder("/a")
            try folder.openFolder("..").sync()
        }

        func crash(_ crash: SimulatedDisk.Crash) throws -> any DiskFolder {
            disk.crash(crash)
            return try disk.boot().openFolder("/a")
        }
    }

    private static let seeds: Range<UInt64> = 0..<200
    private static let text = Array("what was written".utf8)

    private func content(of name: String, in folder: any DiskFolder) throws -> [UInt8]? {
        guard folder.contains(name) else { return nil }
        let file = try folder.open(name, .read)
        return try file.read(at: 0, count: file.status().size)
    }

    private func make(_ name: String, in folder: any DiskFolder, isSynced: Bool = true) throws {
        let file = try folder.open(name, .makeNew)
        try file.write(Self.text, at: 0)
        if isSynced { try file.sync() }
    }

    @Test func aKillLosesNothingThatWasWritten() throws {
        for seed in Self.seeds {
            let rig = try Rig(seed: seed)
            try make("file", in: rig.folder, isSynced: false)
            #expect(try content(of: "file", in: rig.crash(.kill)) == Self.text)
        }
    }

    @Test func aPowerCutLosesNothingThatWasSyncedWithItsDirectory() throws {
        for seed in Self.seeds {
            let rig = try Rig(seed: seed)
            try make("file", in: rig.folder)
            try rig.folder.sync()
            #expect(try content(of: "file", in: rig.crash(.power)) == Self.text)
        }
    }

    @Test func aPowerCutMayLoseTheNameThatWasNotSynced() throws {
        let found = try Self.seeds.map { seed in
            let rig = try Rig(seed: seed)
            try make("file", in: rig.folder)
            return try content(of: "file", in: rig.crash(.power))
        }
        #expect(found.contains(nil) && found.contains(Self.text))
        #expect(found.allSatisfy { $0 == nil || $0 == Self.text })
    }

    @Test func aPowerCutMayTearZeroOrLoseWhatWasNotSynced() throws {
        var found: Set<[UInt8]> = []
        for seed in Self.seeds {
            let rig = try Rig(seed: seed)
            try make("file", in: rig.folder, isSynced: false)
            try rig.folder.sync()
            found.insert(try #require(try content(of: "file", in: rig.crash(.power))))
        }
        #expect(found.isSuperset(of: [[], Self.text, [UInt8](repeating: 0, count: Self.text.count)]))
        #expect(found.contains { !$0.isEmpty && $0.count < Self.text.count && Self.text.starts(with: $0) })
    }

    @Test func aMovedFileHasItsOldNameOrItsNewOne() throws {
        var places: Set<[Bool]> = []
        for seed in Self.seeds {
            let rig = try Rig(seed: seed)
            try make("old", in: rig.folder)
            try rig.folder.sync()
            try rig.folder.move("old", to: rig.folder, as: "new")
            let after = try rig.crash(.power)
            places.insert([after.contains("old"), after.contains("new")])
        }
        #expect(places == [[true, false], [false, true]])
    }

    @Test func whatAFailedSyncHasLostNoLaterSyncBringsBack() throws {
        let found = try Self.seeds.map { seed in
            let rig = try Rig(seed: seed)
            try make("file", in: rig.folder, isSynced: false)
            try rig.folder.sync()
            rig.disk.errorRate = 256
            let file = try? rig.folder.open("file", .readAndWrite)
            #expect(file == nil, "the disk fails")
            rig.disk.errorRate = 0
            let opened = try rig.folder.open("file", .readAndWrite)
            rig.disk.errorRate = 256
            #expect(throws: (any Error).self) { try opened.sync() }
            rig.disk.errorRate = 0
            try opened.sync()
            return try content(of: "file", in: rig.crash(.power))
        }
        #expect(found.contains(Self.text) && found.contains([]))
    }

    @Test func aFullDiskTakesSomeOfAWriteAndSaysSo() throws {
        let rig = try Rig(seed: 1)
        let file = try rig.folder.open("file", .makeNew)
        rig.disk.isFull = true
        #expect(throws: (any Error).self) { try file.write(Self.text, at: 0) }
        #expect(throws: (any Error).self) { try rig.folder.open("other", .makeNew) }
        let content = try content(of: "file", in: rig.folder) ?? []
        #expect(Self.text.starts(with: content))
    }

    @Test func aDeadProcessWritesNothing() throws {
        let rig = try Rig(seed: 1)
        let file = try rig.folder.open("file", .makeNew)
        let after = try rig.crash(.kill)

        #expect(throws: (any Error).self) { try file.write(Self.text, at: 0) }
        #expect(throws: (any Error).self) { try rig.folder.remove("file") }
        #expect(!rig.folder.contains("file"))
        #expect(try content(of: "file", in: after) == [])
    }

    @Test func aPlannedCrashComesWithinTheOperations() throws {
        for seed in Self.seeds {
            let rig = try Rig(seed: seed)
            rig.disk.planCrash(.kill, within: 2)
            var done = 0
            while !rig.disk.hasCrashed {
                try? rig.folder.sync()
                done += 1
                try #require(done < 10)
            }
            #expect(done == 3)
        }
    }
}
