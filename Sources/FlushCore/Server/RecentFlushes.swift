// The flushes that ended lately, for questions that need no disk.

import DequeModule

/// A bounded number of ended flushes, the oldest leaving first.
struct RecentFlushes {
    private let limit: Int
    private var flushes: [FlushID: Flush] = [:]
    private var order: Deque<FlushID> = []

    init(limit: Int) { self.limit = limit }

    subscript(id: FlushID) -> Flush? { flushes[id] }
    var all: some Sequence<Flush> { flushes.values }

    var count: Int { flushes.count }

    /// The oldest ones, at most `count`.
    func oldest(_ count: Int) -> [Flush] { order.prefix(count).compactMap { flushes[$0] } }

    /// Drops the oldest for as long as they are among these.
    mutating func dropOldest(_ ids: Set<FlushID>) {
        while let oldest = order.first, ids.contains(oldest) {
            order.removeFirst()
            flushes[oldest] = nil
        }
    }

    mutating func keep(_ flush: Flush) {
        if flushes.updateValue(flush, forKey: flush.id) == nil { order.append(flush.id) }
        while order.count > limit, let oldest = order.popFirst() { flushes[oldest] = nil }
    }
}
