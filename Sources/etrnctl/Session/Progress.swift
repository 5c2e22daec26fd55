// A flush followed while it runs.

import CommandText
import FlushClient
import FlushCore
import Glibc

/// Shows how flushes get on: on a terminal in one line that is written anew, else a line for each change. On standard error, so that what is
/// on standard output stays the result.
struct Progress {
    private let isShown: Bool
    private var last = ""

    init(isShown: Bool) { self.isShown = isShown }

    mutating func show(_ flush: Flush) {
        guard isShown else { return }
        let isTerminal = Console.errorIsTerminal
        let line = FlushText.progress(flush, width: isTerminal ? Console.width - 1 : 10 * Table.usualWidth)
        guard line != last else { return }
        last = line
        Console.put(isTerminal ? "\r\u{1B}[K\(line)" : line + "\n", to: STDERR_FILENO)
    }

    /// Takes the line away that is written anew.
    mutating func clear() {
        if isShown, Console.errorIsTerminal, !last.isEmpty { Console.put("\r\u{1B}[K", to: STDERR_FILENO) }
        last = ""
    }
}

extension APIClient {
    /// Follows a flush until it has ended or the time is up.
    func follow(_ started: Flush, until deadline: ContinuousClock.Instant, _ progress: inout Progress) async throws(FlushClientError) -> Flush {
        var flush = started
        progress.show(flush)
        while flush.state == .running {
            let left = deadline - .now
            guard left > .zero else { break }
            // The server answers within a second when the flush ends, and after one with what it has come to.
            guard var next = try await self.flush(flush.id, wait: min(left, .seconds(1))) else { break }
            next.coalesced = started.coalesced
            flush = next
            progress.show(flush)
        }
        progress.clear()
        return flush
    }
}
