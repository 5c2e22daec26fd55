// The per-destination log files, as the core wants them kept.

/// Keeps a log for each destination: the IDs of the mail that waits for it.
///
/// The logs are a cache and a window for operators, never an authority: they are read at start until the first scan has ended, and
/// may be a moment behind.
public protocol FlushLogStore: Sendable {
    /// Hands every destination's IDs to `receive`, a log at a time; unreadable logs and invalid lines are skipped and counted.
    ///
    /// - Returns: how many logs or lines were skipped.
    func load(_ receive: @Sendable (DomainName, [QueueID]) async -> Void) async throws(StoreError) -> Int

    /// Carries out a batch of changes, in order. When it throws, some may have been carried out; carrying them out again is harmless.
    func apply(_ changes: [FlushLogChange]) async throws(StoreError)
}

/// A change to one destination's log.
public enum FlushLogChange: Sendable, Equatable {
    /// Adds IDs at the end; an ID may come twice.
    case append(DomainName, [QueueID])
    /// Replaces the whole log, atomically.
    case rewrite(DomainName, [QueueID])
    /// Drops the log.
    case remove(DomainName)
}

/// Why a store did not do what it was asked.
public enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The disk or the database refused; the text names the file and what went wrong.
    case unavailable(String)

    public var description: String {
        switch self {
        case .unavailable(let what): what
        }
    }
}
