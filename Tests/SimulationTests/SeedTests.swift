// The seeds that `make test` runs, and that a seed is a story that always happens in the same way.

import Glibc
import Testing

/// The simulation takes the process's threads and wants its hashing: it runs in a program of its own, which is built beside this one.
@Suite(.timeLimit(.minutes(5))) struct SeedTests {
    struct Run {
        var output: String
        var status: Int32

        var lines: [Substring] { output.split(separator: "\n") }
        /// `seed N in WORLD: HASH`
        var hashes: [Substring] { lines.filter { $0.hasPrefix("seed ") } }
    }

    private static var program: String {
        get throws {
            var path = [UInt8](repeating: 0, count: Int(PATH_MAX))
            let length = path.withUnsafeMutableBytes { readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count) }
            try #require(length > 0)
            let own = String(decoding: path.prefix(length), as: UTF8.self)
            let program = own.prefix(through: try #require(own.lastIndex(of: "/"))) + "simulate"
            try #require(access(String(program), X_OK) == 0, "\(program) is not built")
            return String(program)
        }
    }

    private func start(_ arguments: [String]) throws -> UnsafeMutablePointer<FILE> {
        // Niced: all other suites run beside it, and some of them look at the clock.
        let command = "nice -n 19 " + ([try Self.program] + arguments).map { "'\($0)'" }.joined(separator: " ")
        return try #require(popen(command, "r"))
    }

    private func end(_ stream: UnsafeMutablePointer<FILE>) -> Run {
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&buffer, 1, buffer.count, stream)
            guard count > 0 else { break }
            output += buffer[..<count]
        }
        return Run(output: String(decoding: output, as: UTF8.self), status: pclose(stream))
    }

    @Test func aSeedAlwaysTellsTheSameStory() throws {
        let streams = try (0..<2).map { _ in try start(["--seeds", "1..60", "--hashes"]) }
        let runs = streams.map(end)

        #expect(runs[0].hashes.count == 60)
        #expect(runs[0].output == runs[1].output)
        #expect(Set(runs[0].hashes.compactMap { $0.split(separator: " ").last }).count == 60)
        // Alone as among others, and with the story printed.
        for seed in [23, 42] {
            let alone = end(try start(["--seed", "\(seed)"]))
            #expect(alone.hashes == [runs[0].hashes[seed - 1]])
            #expect(alone.lines.count > 10)
        }
    }

    @Test func tenThousandStoriesAddUp() throws {
        let streams = try ["1..5000", "5001..10000"].map { try start(["--seeds", $0]) }
        for run in streams.map(end) {
            #expect(run.status == 0, "\(run.output)")
            #expect(run.lines.last?.hasPrefix("simulation: 5000 seeds, ") == true)
        }
    }

    @Test func aWrongRangeIsRefused() throws {
        for seeds in ["", "5", "5..4", "a..b", "1..", "..3"] { #expect(end(try start(["--seeds", seeds])).status != 0, "\(seeds)") }
    }
}
