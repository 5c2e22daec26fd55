// Storage for what the index has a million of.

/// A sequence that grows by a chunk at a time. No element ever moves, so that no append waits for others to be copied.
struct Slab<Element> {
    /// 4,096 elements: a chunk is made in some microseconds, and the list of chunks stays short.
    private static var shift: Int { 12 }

    private var chunks: [ContiguousArray<Element>] = []
    private(set) var count = 0

    var indices: Range<Int> { 0..<count }

    subscript(number: Int32) -> Element {
        get { chunks[Int(number) >> Self.shift][Int(number) & (1 << Self.shift - 1)] }
        _modify { yield &chunks[Int(number) >> Self.shift][Int(number) & (1 << Self.shift - 1)] }
    }

    /// Returns the element's number.
    @discardableResult
    mutating func append(_ element: Element) -> Int32 {
        if count >> Self.shift == chunks.count {
            chunks.append([])
            // The first chunk grows as it is needed: most indexes are small.
            if chunks.count > 1 { chunks[chunks.count - 1].reserveCapacity(1 << Self.shift) }
        }
        chunks[chunks.count - 1].append(element)
        count += 1
        return Int32(count - 1)
    }
}

extension Slab: Sendable where Element: Sendable {}
