// Numbers kept in the order of what they stand for, so that a page of names costs a page.

/// A sorted sequence of numbers in chunks: insertion and removal move at most one chunk, search is binary.
///
/// The order itself is the caller's: every call brings it as a closure, so that no key is stored twice.
struct OrderedNumbers {
    /// 2 KiB a chunk: the move on insertion stays within the first-level cache.
    private static let chunkCapacity = 512

    private var chunks: [[Int32]] = []

    struct Position {
        fileprivate var chunk: Int
        fileprivate var offset: Int
    }

    /// The first position whose number does not precede what the caller looks for.
    func lowerBound(_ precedes: (Int32) -> Bool) -> Position {
        // Every chunk holds at least one number.
        var low = 0
        var high = chunks.count
        while low < high {
            let middle = (low + high) / 2
            if precedes(chunks[middle][chunks[middle].count - 1]) { low = middle + 1 } else { high = middle }
        }
        guard low < chunks.count else { return Position(chunk: chunks.count, offset: 0) }
        let chunk = chunks[low]
        var first = 0
        var last = chunk.count
        while first < last {
            let middle = (first + last) / 2
            if precedes(chunk[middle]) { first = middle + 1 } else { last = middle }
        }
        return Position(chunk: low, offset: first)
    }

    /// The number at `position`, which moves on; nil at the end.
    func next(_ position: inout Position) -> Int32? {
        guard position.chunk < chunks.count else { return nil }
        let chunk = chunks[position.chunk]
        let number = chunk[position.offset]
        position.offset += 1
        if position.offset == chunk.count { position = Position(chunk: position.chunk + 1, offset: 0) }
        return number
    }

    mutating func insert(_ number: Int32, at position: Position) {
        guard position.chunk < chunks.count else {
            if let last = chunks.indices.last, chunks[last].count < Self.chunkCapacity {
                chunks[last].append(number)
            } else {
                chunks.append([number])
            }
            return
        }
        chunks[position.chunk].insert(number, at: position.offset)
        guard chunks[position.chunk].count > Self.chunkCapacity else { return }
        let half = Self.chunkCapacity / 2
        let upper = Array(chunks[position.chunk][half...])
        chunks[position.chunk].removeSubrange(half...)
        chunks.insert(upper, at: position.chunk + 1)
    }

    mutating func remove(at position: Position) {
        chunks[position.chunk].remove(at: position.offset)
        if chunks[position.chunk].isEmpty { chunks.remove(at: position.chunk) }
    }
}
