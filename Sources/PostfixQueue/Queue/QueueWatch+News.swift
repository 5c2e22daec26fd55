// What is kept of the kernel's news: one entry a message, however often it moved.

import FlushCore

extension QueueWatch {
    /// A move, as the kernel told it.
    enum Step: Equatable, Sendable {
        case entered(QueueFolder)
        case left(QueueFolder)
    }

    struct Change: Sendable, Equatable {
        /// In the order in which they happened.
        var steps: [Step] = []
        /// Steps may be missing: only a look at the disk can tell.
        var isUnsure = false
        /// The last step is half of a rename, told at this time; the other half follows, unless that went out of the queue.
        fileprivate var half: ContinuousClock.Instant?
    }

    struct Batch: Sendable {
        var changes: [(id: QueueID, change: Change)] = []
        /// Events were lost.
        var hasOverflowed = false
        /// All news up to this number have been taken, or were lost.
        var number: UInt64 = 0
    }

    /// Steps kept of one message; more, and only the look counts.
    static let maximumSteps = 24
    /// The kernel tells both halves of a rename one after the other; between them we may read, and the next read is a busy gathering away.
    /// Much longer than that: only what goes out of the queue waits in vain.
    static let halfPatience: Duration = .microseconds(6 * gatheringWhenBusy)

    /// The news of all messages, the oldest first.
    struct Kept {
        var changes: [QueueID: Change] = [:]
        /// Taken from the front; the first `taken` have been.
        var order: [QueueID] = []
        var taken = 0
        var hasOverflowed = false
        /// The number of the last in `order`, from the beginning of time.
        var number: UInt64 = 0

        mutating func take(atMost limit: Int) -> Batch {
            var batch = Batch(hasOverflowed: hasOverflowed)
            hasOverflowed = false
            let end = min(order.count, taken + limit)
            batch.number = number - UInt64(order.count - end)
            batch.changes.reserveCapacity(end - taken)
            let now = ContinuousClock.now
            var halves: [QueueID] = []
            for id in order[taken..<end] {
                if let half = changes[id]?.half, now - half < QueueWatch.halfPatience {
                    halves.append(id)
                } else if let change = changes.removeValue(forKey: id) {
                    batch.changes.append((id: id, change: change))
                }
            }
            taken = end
            if taken == order.count {
                (order, taken) = ([], 0)
                if halves.isEmpty { changes = [:] }
            } else if taken >= order.count / 2 {
                order.removeFirst(taken)
                taken = 0
            }
            for id in halves { append(id) }
            return batch
        }

        mutating func append(_ id: QueueID) {
            order.append(id)
            number += 1
        }

        /// Forgets all news, which counts as told.
        mutating func overflow() {
            self = Kept(hasOverflowed: true, number: number)
        }

        var isEmpty: Bool { order.isEmpty && !hasOverflowed }
    }
}

extension QueueWatch.Change {
    mutating func note(_ step: QueueWatch.Step?, isHalf: Bool) {
        guard let step else {
            isUnsure = true
            return
        }
        half = isHalf ? .now : nil
        steps.append(step)
        guard steps.count > QueueWatch.maximumSteps else { return }
        steps = []
        isUnsure = true
    }
}
