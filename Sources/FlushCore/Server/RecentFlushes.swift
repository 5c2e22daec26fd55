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

    mutating func keep(_ flush: Flush) {
        if flushes.updateValue(flush, forKey: flush.id) == nil { order.append(flush.id) }
        while order.count > limit, let oldest = order.popFirst() { flushes[oldest] = nil }
    }
}
