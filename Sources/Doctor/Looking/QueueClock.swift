// Compares the clock with the queue's time stamps.

import Glibc

/// Looks through `deferred` for time stamps that cannot be.
struct QueueClock {
    /// Enough to see a clock that was set; a queue may have a million files.
    static let maximumFiles = 10_000
    /// What a clock that is being corrected may be off.
    private static let tolerance = 2
    /// `__O_TMPFILE` of <bits/fcntl-linux.h>, which Swift does not import.
    private static let unnamedFile = O_DIRECTORY | 0o20_000_000

    let deferred: String
    /// Seconds.
    let maximalBackoff: Int

    private var facts = PostfixFacts.Clock()

    init(deferred: String, maximalBackoff: Int) {
        self.deferred = deferred
        self.maximalBackoff = maximalBackoff
    }

    mutating func look() -> PostfixFacts.Clock {
        facts.skew = skew
        // The queue manager writes the next attempt's time as the file's mtime.
        visit(deferred, depth: 0, now: Int(time(nil)))
        return facts
    }

    /// Of a file that has no name and is gone at once: nobody sees it.
    private var skew: Duration? {
        let descriptor = open(deferred, Self.unnamedFile | O_WRONLY | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        var now = timespec()
        guard fstat(descriptor, &status) == 0, clock_gettime(CLOCK_REALTIME, &now) == 0 else { return nil }
        return .seconds(status.st_ctim.tv_sec - now.tv_sec) + .nanoseconds(status.st_ctim.tv_nsec - now.tv_nsec)
    }

    /// Hash directories have one letter and are in each other, at most four deep.
    private mutating func visit(_ path: String, depth: Int, now: Int) {
        guard depth <= 4, let directory = opendir(path) else { return }
        defer { closedir(directory) }
        while facts.filesLooked < Self.maximumFiles, let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name == "." || name == ".." { continue }
            let file = "\(path)/\(name)"
            guard name.utf8.count > 1 else {
                visit(file, depth: depth + 1, now: now)
                continue
            }
            var status = stat()
            guard lstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            facts.filesLooked += 1
            if status.st_ctim.tv_sec > now + Self.tolerance { facts.changedLater += 1 }
            if status.st_mtim.tv_sec > now + maximalBackoff + Self.tolerance { facts.dueTooLate += 1 }
        }
    }
}

/// Times as main.cf has them.
enum PostfixTime {
    /// `4000s`, `2h`, or a bare number of seconds; nil for anything else.
    static func seconds(_ text: String) -> Int? {
        let units: [Character: Int] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800]
        guard let last = text.last else { return nil }
        guard let unit = units[last] else { return Int(text) }
        guard let number = Int(text.dropLast()) else { return nil }
        let (seconds, overflow) = number.multipliedReportingOverflow(by: unit)
        return overflow ? nil : seconds
    }
}
