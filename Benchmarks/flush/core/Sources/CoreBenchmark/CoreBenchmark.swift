// The flush core by itself, on an event loop of its own: `CoreBenchmark adds …` and `CoreBenchmark releases …`, one JSON object each.

import FlushCore
import Glibc

@main
struct CoreBenchmark {
    static func main() async {
        do { try await run() } catch {
            let line = Array("\(error)\n".utf8)
            write(STDERR_FILENO, line, line.count)
            exit(1)
        }
    }

    private static func run() async throws {
        let words = Array(CommandLine.arguments.dropFirst())
        let numbers = words.dropFirst().prefix(2).compactMap { Int($0) }
        guard let verb = words.first, numbers.count == 2, numbers.allSatisfy({ $0 > 0 }) else { throw Usage() }
        switch (verb, words.count) {
        case ("adds", 3): try await Adds(messages: numbers[0], domains: numbers[1]).measure(logsBelow: nil)
        case ("adds", 4): try await Adds(messages: numbers[0], domains: numbers[1]).measure(logsBelow: words[3])
        case ("releases", 3): try await Releases(messages: numbers[0], flushes: numbers[1]).measure()
        default: throw Usage()
        }
    }
}

struct Usage: Error, CustomStringConvertible {
    var description: String {
        """
        usage: CoreBenchmark adds MESSAGES DOMAINS [STATE-DIRECTORY]   with a directory, the log files are written below it
               CoreBenchmark releases MESSAGES FLUSHES                 flushes of 10 messages, so many being recorded
        """
    }
}
