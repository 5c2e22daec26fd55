// When each waiting message is due.

import FlushCore

/// A heap of due times. A message may be in it several times; whoever takes an item checks that it still means something.
struct RetrySchedule: Sendable {
    struct Item: Sendable, Equatable {
        var time: Timestamp
        var id: QueueID
    }

    private var heap: [Item] = []

    var first: Item? { heap.first }
    var count: Int { heap.count }

    mutating func add(_ id: QueueID, at time: Timestamp) {
        heap.append(Item(time: time, id: id))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].time < heap[parent].time else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the first item when it is due.
    mutating func takeDue(at now: Timestamp) -> Item? {
        guard let first = heap.first, first.time <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < heap.count else { break }
            let right = left + 1
            let child = right < heap.count && heap[right].time < heap[left].time ? right : left
            guard heap[child].time < heap[parent].time else { break }
            heap.swapAt(child, parent)
            parent = child
        }
        return first
    }

    /// Drops the items that mean nothing any more, and builds the heap anew.
    mutating func keep(where isCurrent: (Item) -> Bool) {
        heap = heap.filter(isCurrent).sorted { $0.time < $1.time }
    }

    /// How long to wait after an attempt that ended at `now`: as long as the message is old, within the limits (as Postfix has it).
    static func backoff(arrival: Timestamp, now: Timestamp, parameters: SpoolParameters) -> Duration {
        let longest = max(parameters.minimalBackoffTime, parameters.maximalBackoffTime)
        return min(max(now - arrival, parameters.minimalBackoffTime), longest)
    }
}
