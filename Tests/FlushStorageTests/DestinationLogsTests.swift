// The log files: what stands in them, what a kill, a hand or a full disk does to them.

import DispatchSockets
import FlushCore
import FlushTesting
import Glibc
import Testing

@testable import FlushStorage

@Suite struct DestinationLogsTests {
    let branch = Samples.domain("branch.example")
    let ship = Samples.domain("ship.example")
    let ids = (0..<5).map { Samples.queueID($0) }

    func reason(_ body: () async throws(StoreError) -> Void) async -> String? {
        do throws(StoreError) {
            try await body()
            return nil
        } catch {
            switch error {
            case .unavailable(let reason): return reason
            }
        }
    }

    @Test func aLogIsAFileThatCatCanShow() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)

            try await logs.apply([.append(branch, [ids[0], ids[1]]), .append(branch, [ids[2]]), .rewrite(ship, [ids[3], ids[4]])])

            #expect(names(in: directory) == ["flush"])
            #expect(names(in: "\(directory)/flush") == ["branch.example", "ship.example"])
            #expect(try contents(of: "\(directory)/flush/branch.example") == "4XyZ0\n4XyZ1\n4XyZ2\n")
            #expect(try contents(of: "\(directory)/flush/ship.example") == "4XyZ3\n4XyZ4\n")
            #expect(try mode(of: "\(directory)/flush") == 0o700)
            #expect(try mode(of: "\(directory)/flush/branch.example") == 0o600)
            #expect(try mode(of: "\(directory)/flush/ship.example") == 0o600)
        }
    }

    @Test(arguments: [
        ("4XyZ0\n4XyZ1\n4Xy", "4XyZ0\n4XyZ1\n", 2), ("4Xy", "", 0), ("4XyZ0", "", 0), ("\n4Xy", "\n", 0),
        (String(repeating: "A", count: 255), "", 0),
        ("4XyZ0\n" + String(repeating: "A", count: 255), "4XyZ0\n", 1),
    ])
    func aTornLastLineIsNotReadAndCutOffByTheNextAppend(_ torn: String, _ whole: String, _ count: Int) async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)
            let path = "\(directory)/flush/branch.example"
            try write(torn, to: path)

            let (loaded, skipped) = try await load(logs)
            #expect(loaded[branch]?.count == count)
            #expect(skipped == 1 + (whole == "\n" ? 1 : 0))

            try await logs.apply([.append(branch, [ids[4]])])
            #expect(try contents(of: path) == whole + "4XyZ4\n")
        }
    }

    @Test func whatIsNoLineOfOursIsNotCutOff() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)
            let garbage = String(repeating: "x y", count: 1000)
            try write(garbage, to: "\(directory)/flush/branch.example")

            try await logs.apply([.append(branch, [ids[0]])])

            #expect(try contents(of: "\(directory)/flush/branch.example") == garbage + "\n4XyZ0\n")
            let (loaded, skipped) = try await load(logs)
            #expect(loaded == [branch: [ids[0]]])
            #expect(skipped == 1)
        }
    }

    @Test func invalidLinesAreSkippedAndCounted() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)
            let lines = [
                "4XyZ0", "", "two words", "4XyZ1\r", "../../etc/passwd", "4XyZ1", String(repeating: "A", count: 256),
                String(repeating: "B", count: 300_000), "nul\0l", "ü", "4XyZ0", "4XyZ2",
            ]
            try write(lines.joined(separator: "\n") + "\n", to: "\(directory)/flush/branch.example")

            let (loaded, skipped) = try await load(logs)

            #expect(loaded == [branch: [ids[0], ids[1], ids[2]]])
            #expect(skipped == 8)
        }
    }

    @Test func foreignFilesAreSkippedCountedAndLeftAlone() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)
            try await logs.apply([.append(branch, [ids[0]])])
            let flush = "\(directory)/flush"
            for name in ["README", "Branch.Example", "a b", "-x.example", "bücher.example", "branch.example~", "1.2.3.4"] {
                try write("4XyZ1\n", to: "\(flush)/\(name)")
            }
            mkdir("\(flush)/directory.example", 0o700)
            mkfifo("\(flush)/fifo.example", 0o600)
            symlink("branch.example", "\(flush)/link.example")
            try write("4XyZ1\n", to: "\(flush)/.hidden")
            let before = names(in: flush)

            let (loaded, skipped) = try await load(logs)

            #expect(loaded == [branch: [ids[0]]])
            #expect(skipped == 10, "all but the hidden one")
            #expect(names(in: flush) == before)
        }
    }

    @Test func whatAKillLeftOfARewriteIsRemoved() async throws {
        try await withTemporaryDirectory { directory in
            try await makeLogs(in: directory).apply([.append(branch, [ids[0]])])
            try write("4XyZ1\n4X", to: "\(directory)/flush/.rewrite")

            let (loaded, skipped) = try await load(makeLogs(in: directory))

            #expect(loaded == [branch: [ids[0]]])
            #expect(skipped == 0)
            #expect(names(in: "\(directory)/flush") == ["branch.example"])
        }
    }

    @Test func aLogThatCannotBeWrittenDoesNotKeepTheOthersFromBeingWritten() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)
            let path = "\(directory)/flush/branch.example"
            mkdir(path, 0o700)
            try write("", to: "\(path)/file")

            for change in [FlushLogChange.append(branch, [ids[0]]), .rewrite(branch, [ids[0]]), .remove(branch)] {
                let reason = await reason { () throws(StoreError) in
                    try await logs.apply([.append(ship, [ids[0]]), change, .append(ship, [ids[1]])])
                }
                #expect(reason == "\(path): Is a directory")
                #expect(try contents(of: "\(directory)/flush/ship.example") == "4XyZ0\n4XyZ1\n")
                try await logs.apply([.remove(ship)])
            }
            #expect(names(in: "\(directory)/flush") == ["branch.example"])
            #expect(names(in: path) == ["file"])
        }
    }

    @Test func neverWritesThroughALink() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)
            try write("precious", to: "\(directory)/other")
            symlink("../other", "\(directory)/flush/branch.example")

            let reason = await reason { () throws(StoreError) in try await logs.apply([.append(branch, [ids[0]])]) }

            #expect(reason == "\(directory)/flush/branch.example: Too many levels of symbolic links")
            #expect(try contents(of: "\(directory)/other") == "precious")
        }
    }

    @Test func aRemovedDirectoryIsMadeAgain() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)
            removeTree("\(directory)/flush")
            try await logs.apply([.remove(ship), .append(branch, [ids[0]])])
            removeTree("\(directory)/flush")
            try await logs.apply([.rewrite(branch, [ids[1]])])

            #expect(try await load(logs).logs == [branch: [ids[1]]])
        }
    }

    @Test func aStateDirectoryThatIsGoneIsToldByName() async throws {
        try await withTemporaryDirectory { directory in
            let state = "\(directory)/state"
            mkdir(state, 0o700)
            let logs = try makeLogs(in: state)
            removeTree(state)

            let reason = await reason { () throws(StoreError) in try await logs.apply([.append(branch, [ids[0]])]) }
            #expect(reason == "\(state)/flush/branch.example: No such file or directory")
            await #expect(throws: StoreError.unavailable("\(state)/flush: No such file or directory")) { try await load(logs) }
            #expect(throws: StoreError.unavailable("\(state)/flush: No such file or directory")) { try makeLogs(in: state) }
        }
    }

    @Test func aFileInTheDirectorysPlaceStopsTheStart() async throws {
        try await withTemporaryDirectory { directory in
            try write("", to: "\(directory)/flush")

            #expect(throws: StoreError.unavailable("\(directory)/flush: Not a directory")) { try makeLogs(in: directory) }
        }
    }

    @Test func manyWritersAtOnceLoseNothing() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)

            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        try await logs.apply([.append(branch, [Samples.queueID(number)]), .rewrite(ship, [Samples.queueID(number)])])
                    }
                    group.addTask { _ = try await load(logs) }
                }
                try await group.waitForAll()
            }

            let (loaded, skipped) = try await load(logs)
            #expect(Set(loaded[branch] ?? []) == Set((0..<100).map { Samples.queueID($0) }))
            #expect(loaded[ship]?.count == 1)
            #expect(skipped == 0)
        }
    }

    @Test func aLongLogOfDuplicatesStaysSmall() async throws {
        try await withTemporaryDirectory { directory in
            let logs = try makeLogs(in: directory)
            let batch = FlushLogChange.append(branch, Array(repeating: ids[0], count: 50_000))
            try await logs.apply([batch, batch, batch, batch, .append(branch, [ids[1]])])

            #expect(try await load(logs).logs == [branch: [ids[0], ids[1]]])
        }
    }

    @Test(.enabled(if: canMount(), "needs a file system of its own"))
    func aFullOrReadOnlyDiskIsToldAndLeavesNoTornLine() async throws {
        try await withTemporaryDirectory { directory in
            #expect(mount("none", directory, "tmpfs", 0, "size=64k,mode=0700") == 0)
            defer { umount2(directory, CInt(MNT_DETACH)) }
            let logs = try makeLogs(in: directory)
            let path = "\(directory)/flush/branch.example"
            try await logs.apply([.append(branch, [ids[0]])])
            let many = (0..<20_000).map { Samples.queueID($0) }

            for change in [FlushLogChange.append(branch, many), .rewrite(branch, many)] {
                let reason = await reason { () throws(StoreError) in try await logs.apply([change]) }
                #expect(reason == "\(path): No space left on device")
                #expect(try contents(of: path) == "4XyZ0\n")
                #expect(names(in: "\(directory)/flush") == ["branch.example"])
            }
            try await logs.apply([.append(branch, [ids[1]])])

            #expect(mount("none", directory, "tmpfs", UInt(MS_REMOUNT | MS_RDONLY), nil) == 0)
            for change in [FlushLogChange.append(branch, many), .rewrite(branch, many), .remove(branch)] {
                let reason = await reason { () throws(StoreError) in try await logs.apply([change]) }
                #expect(reason == "\(path): Read-only file system")
            }
            #expect(try await load(logs).logs == [branch: [ids[0], ids[1]]])
        }
    }
}

/// Whether this process may mount; tried out, because root in a container may not.
private func canMount() -> Bool {
    var template = Array("/tmp/etrnd-mount-XXXXXX".utf8CString)
    guard geteuid() == 0, let made = mkdtemp(&template) else { return false }
    let path = String(cString: made)
    defer { rmdir(path) }
    guard mount("none", path, "tmpfs", 0, nil) == 0 else { return false }
    return umount2(path, 0) == 0
}
