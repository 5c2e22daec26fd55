// Whether what is written below the state directory still arrives, for those who ask whether the daemon is ready.

import DispatchSockets
import Glibc
import Synchronization

/// The disk of the state directory, tried out: full, broken, read-only, or out of this process's reach because it has no descriptors.
final class StateDisk: Sendable {
    /// Bytes written at a trial: a block, because a full disk may still have room in one that is begun.
    private static let trialBytes = 4096
    /// How long a verdict is good for: whoever asks in a hurry shall not keep the disk busy.
    private static let validity: Duration = .seconds(1)
    /// Linux's O_TMPFILE, a macro that Swift does not see: a file without a name, of which a crash leaves nothing.
    private static let unnamedFile = O_DIRECTORY | 0o20000000

    private let directory: String
    /// With less than this no mail is taken; 0 where no mail is.
    private let leastFree: Int
    private let pool: IOPool
    private let last = Mutex<(at: ContinuousClock.Instant, impediment: String?)?>(nil)

    init(directory: String, leastFree: Int, pool: IOPool) {
        self.directory = directory
        self.leastFree = leastFree
        self.pool = pool
    }

    /// What is wrong, in words for an operator; as it was up to a second ago.
    func impediment() async -> String? {
        if let known = last.withLock({ $0 }), known.at.duration(to: .now) < Self.validity { return known.impediment }
        let found = await pool.run { [directory, leastFree] in Self.lackOfRoom(in: directory, least: leastFree) ?? Self.refusal(of: directory) }
        last.withLock { $0 = (.now, found) }
        return found
    }

    private static func lackOfRoom(in directory: String, least: Int) -> String? {
        var facts = statvfs()
        guard least > 0, statvfs(directory, &facts) == 0 else { return nil }
        let (free, overflow) = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize))
        guard !overflow, free < UInt64(least) else { return nil }
        return "no mail is taken: the disk of \(directory) has \(free) bytes left, and \(least) are kept free (queue_minfree)"
    }

    private static func refusal(of directory: String) -> String? {
        let file = open(directory, unnamedFile | O_WRONLY | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            // A file system or kernel without such files; that it is read-only is known without.
            let hasNone = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL
            if hasNone, access(directory, W_OK) == 0 { return nil }
            return refusal(of: directory, code: errno)
        }
        defer { close(file) }
        let trial = [UInt8](repeating: 0, count: trialBytes)
        let written = trial.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        guard written != trialBytes else { return nil }
        return refusal(of: directory, code: written < 0 ? errno : ENOSPC)
    }

    private static func refusal(of directory: String, code: CInt) -> String {
        "nothing can be written below \(directory): \(String(cString: strerror(code)))"
    }
}
