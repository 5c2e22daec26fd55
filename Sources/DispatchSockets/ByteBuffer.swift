// A growable queue of bytes with a bound: a connection's write backlog, a parser's incomplete input.

/// Bytes that go in at the end and leave at the front.
///
/// Empty, it holds no memory. Appending costs amortized constant time a byte, whatever is consumed in between.
public struct ByteBuffer: Sendable {
    /// The most bytes it takes.
    public let limit: Int
    private var storage: [UInt8] = []
    /// How many bytes of `storage` have been consumed.
    private var head = 0

    public init(limit: Int = .max) {
        self.limit = limit
    }

    public var count: Int { storage.count - head }
    public var isEmpty: Bool { storage.count == head }

    /// Appends all of `bytes`, or nothing when that would go past `limit`.
    ///
    /// - Returns: false when nothing was taken.
    public mutating func append(_ bytes: RawSpan) -> Bool {
        bytes.withUnsafeBytes { append($0) }
    }

    /// As above.
    public mutating func append(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { append($0) }
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count <= limit - count else { return false }
        // Only when the array would have to grow, and at least half of it is dead: a byte is moved at most once for each byte consumed.
        if head > 0, head >= storage.count / 2, storage.count + bytes.count > storage.capacity {
            storage.removeSubrange(..<head)
            head = 0
        }
        storage.append(contentsOf: bytes)
        return true
    }

    /// Drops the first `count` bytes; all of them when there are fewer.
    public mutating func consume(_ count: Int) {
        precondition(count >= 0, "a negative number of bytes cannot be consumed")
        if count >= self.count {
            removeAll()
        } else {
            head += count
        }
    }

    /// Drops everything and frees the memory.
    public mutating func removeAll() {
        storage = []
        head = 0
    }

    /// The bytes, oldest first; they stay in the buffer.
    public func withSpan<Result, Failure: Error>(_ body: (RawSpan) throws(Failure) -> Result) throws(Failure) -> Result {
        try body(storage.span.bytes.extracting(head..<storage.count))
    }

    /// A copy of the bytes.
    public var array: [UInt8] { Array(storage[head...]) }
}
