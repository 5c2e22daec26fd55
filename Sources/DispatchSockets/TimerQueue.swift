// The loop's timers and deadlines in the order in which they fall due.

/// A binary heap. What is equally due leaves in the order in which it came.
///
/// Its members know their place, so that cancelling and moving cost O(log n); a deadline that moves later is left where it is and
/// moved only when its old time has come.
struct TimerQueue {
    enum Owner {
        case timer(LoopTimer)
        case connection(Connection)

        fileprivate func place(at index: Int) {
            switch self {
            case .timer(let timer): timer.queueIndex = Int32(truncatingIfNeeded: index)
            case .connection(let connection): connection.timerIndex = Int32(truncatingIfNeeded: index)
            }
        }
    }

    private struct Entry {
        var due: Int64
        var order: UInt64
        var owner: Owner

        func isBefore(_ other: Entry) -> Bool {
            due == other.due ? order < other.order : due < other.due
        }
    }

    /// The place of what is not in the queue.
    static let nowhere: Int32 = -1

    private var heap: [Entry] = []
    private var nextOrder: UInt64 = 0

    var count: Int { heap.count }

    /// When the first falls due, in nanoseconds of the loop's clock.
    var firstDue: Int64? { heap.first?.due }

    mutating func insert(_ owner: Owner, due: Int64) {
        heap.append(Entry(due: due, order: nextOrder, owner: owner))
        nextOrder &+= 1
        siftUp(from: heap.count - 1)
    }

    /// When the member at this place falls due, as far as the queue knows.
    func due(at index: Int32) -> Int64 { heap[Int(index)].due }

    mutating func move(at index: Int32, to due: Int64) {
        heap[Int(index)].due = due
        siftUp(from: siftDown(from: Int(index)))
    }

    mutating func remove(at index: Int32) {
        let index = Int(index)
        heap[index].owner.place(at: Int(Self.nowhere))
        let last = heap.removeLast()
        guard index < heap.count else { return }
        heap[index] = last
        siftUp(from: siftDown(from: index))
    }

    /// Takes out the first if it is due by `now`.
    mutating func popDue(by now: Int64) -> Owner? {
        guard let first = heap.first, first.due <= now else { return nil }
        remove(at: 0)
        return first.owner
    }

    private mutating func siftUp(from start: Int) {
        var index = start
        let entry = heap[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry.isBefore(heap[parent]) else { break }
            heap[index] = heap[parent]
            heap[index].owner.place(at: index)
            index = parent
        }
        heap[index] = entry
        entry.owner.place(at: index)
    }

    private mutating func siftDown(from start: Int) -> Int {
        var index = start
        let entry = heap[index]
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(entry) else { break }
            heap[index] = heap[child]
            heap[index].owner.place(at: index)
            index = child
        }
        heap[index] = entry
        entry.owner.place(at: index)
        return index
    }
}
