// Bytes that came and have not been used yet.

/// The input of a session that has not been used yet.
struct InputBuffer {
    private(set) var bytes: [UInt8] = []
    private(set) var head = 0

    var count: Int { bytes.count - head }
    var isEmpty: Bool { head == bytes.count }
    var unread: ArraySlice<UInt8> { bytes[head...] }

    mutating func append(_ more: RawSpan) {
        if head > 0 {
            bytes.removeFirst(head)
            head = 0
        }
        more.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    mutating func consume(_ count: Int) {
        head += count
        if isEmpty { removeAll() }
    }

    /// Idle sessions are many: they keep no memory for input.
    mutating func removeAll() {
        bytes = []
        head = 0
    }
}
