// The loop's shared buffer for outgoing bytes: what a connection writes in a row leaves in one send.

import Glibc

/// Collects what one connection at a time writes; another one's write sends the first one's bytes and takes over.
///
/// A connection needs a buffer of its own only when the socket does not take everything.
struct OutputScratch {
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var count = 0
    /// Whose bytes these are; nil when there are none.
    private(set) var owner: Connection?

    init(capacity: Int) {
        buffer = .allocate(byteCount: capacity, alignment: 16)
    }

    func deallocate() {
        buffer.deallocate()
    }

    var room: Int { buffer.count - count }

    /// Takes `bytes`, which must fit, for `connection`, which must be the owner if there is one.
    mutating func append(_ bytes: UnsafeRawBufferPointer, for connection: Connection) {
        owner = connection
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    /// Hands over the bytes: they stay valid until the next `append`.
    mutating func take() -> UnsafeRawBufferPointer {
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        count = 0
        owner = nil
        return bytes
    }
}
