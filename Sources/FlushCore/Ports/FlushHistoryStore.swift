// What became of past flushes, kept over a restart.

/// Keeps flushes that matched something.
public protocol FlushHistoryStore: Sendable {
    /// Writes these flushes, over older versions of themselves.
    func save(_ flushes: [Flush]) async throws(StoreError)
    func flush(_ id: FlushID) async throws(StoreError) -> Flush?
    /// Newest first, at most `query.limit`, all with an ID below `query.before` when that is set.
    func flushes(_ query: FlushQuery) async throws(StoreError) -> [Flush]
    /// The last flush of each domain that has one in the store; read once at start.
    func lastFlushes() async throws(StoreError) -> [DomainName: Flush]
    /// Marks those that ran when the process ended as interrupted, with the counts they had. Returns how many.
    func interruptRunning(at time: Timestamp) async throws(StoreError) -> Int
    /// Drops the oldest so that at most `count` are left.
    func trim(to count: Int) async throws(StoreError)
}
