// The loop's shared buffer for outgoing bytes: what connections write in a round leaves at its end.

import Glibc

/// Collects what connections write, and sends it for all of them together.
///
/// What a connection writes in a row leaves in one send. All replies of a round leave one after the other: the first wakes a client, and
/// the others find that CPU awake, which is a fifth of the cost of an answer. A connection needs a buffer of its own only when the
/// socket does not take everything.
struct OutputScratch {
    /// What one connection wrote in a row.
    private struct Part {
        let connection: Connection
        var count: Int
    }

    /// Parts that wait for one another at most: the first answer must not wait long for the last.
    private static let maximumParts = 16

    private let buffer: UnsafeMutableRawBufferPointer
    private var count = 0
    private var parts: [Part] = []

    init(capacity: Int) {
        buffer = .allocate(byteCount: capacity, alignment: 16)
        parts.reserveCapacity(Self.maximumParts)
    }

    func deallocate() {
        buffer.deallocate()
    }

    var isEmpty: Bool { parts.isEmpty }

    /// Whether `append` may be called with so many bytes of this connection.
    func hasRoom(for size: Int, of connection: Connection) -> Bool {
        size <= buffer.count - count && (parts.count < Self.maximumParts || parts.last?.connection === connection)
    }

    /// Takes `bytes`, for which there must be room.
    mutating func append(_ bytes: UnsafeRawBufferPointer, for connection: Connection) {
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
        count += bytes.count
        if parts.last?.connection === connection {
            parts[parts.count - 1].count += bytes.count
        } else {
            parts.append(Part(connection: connection, count: bytes.count))
        }
    }

    /// Hands every part to `send`, in the order of the writes. `send` must write nothing.
    mutating func drain(_ send: (Connection, UnsafeRawBufferPointer) -> Void) {
        var start = 0
        for part in parts {
            send(part.connection, UnsafeRawBufferPointer(rebasing: buffer[start..<start + part.count]))
            start += part.count
        }
        count = 0
        parts.removeAll(keepingCapacity: true)
    }
}
