// Which messages were met lately.

import FlushCore

/// A bounded memory for IDs: the last `limit` are in it, and at most as many before them.
struct RecentIDs {
    private let limit: Int
    private var current: Set<QueueID> = []
    private var previous: Set<QueueID> = []

    init(limit: Int) { self.limit = limit }

    /// False when it was known already.
    mutating func insert(_ id: QueueID) -> Bool {
        if current.contains(id) || previous.contains(id) { return false }
        if current.count >= limit {
            previous = current
            current = []
        }
        current.insert(id)
        return true
    }

    /// An ID may be used again.
    mutating func forget(_ id: QueueID) {
        current.remove(id)
        previous.remove(id)
    }
}
