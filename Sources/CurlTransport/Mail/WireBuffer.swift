// Bytes on their way to a connection, at an address that stays.

/// A buffer that is filled only when it is empty.
///
/// OpenSSL insists that a write that has to wait is repeated with the same bytes at the same address, which an array does not promise.
// The pointer is owned by this object, handed out only inside `withContents`, and freed with it.
final class WireBuffer {
    static let capacity = 64 * 1024

    private let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
    private var start = 0
    private var end = 0

    deinit { storage.deallocate() }

    var isEmpty: Bool { start == end }

    /// Takes as many of `bytes` as it has room for; only when empty.
    func fill(from bytes: ArraySlice<UInt8>) -> Int {
        precondition(isEmpty, "the buffer's bytes may not move while they are being sent")
        let count = min(bytes.count, Self.capacity)
        bytes.prefix(count).withUnsafeBytes { storage.copyMemory(from: $0) }
        start = 0
        end = count
        return count
    }

    func withContents<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(UnsafeRawBufferPointer(rebasing: storage[start..<end]))
    }

    func consume(_ count: Int) { start = min(end, start + count) }
}
