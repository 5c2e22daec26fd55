// A message's content on its way to libcurl.

import CurlTransport
import DiskPort
import Synchronization

/// Reads the content of an open queue file, piece by piece, on the I/O pool; a small one is read at once.
final class SpoolContent: CurlUpload {
    /// What is read together with the envelope, in one piece of disk work; with 20 transmissions at most 5 MiB.
    static let inMemory = 256 << 10

    private let message: OpenMessage
    private let pool: any DiskWorker
    private let whole: [UInt8]?
    private let offset = Mutex(0)

    /// Reads a small content. On the I/O pool.
    init(_ message: OpenMessage, pool: any DiskWorker) throws(SpoolError) {
        self.message = message
        self.pool = pool
        guard message.envelope.size <= Self.inMemory else {
            whole = nil
            return
        }
        let bytes = try message.handle.read(at: message.layout.content, count: message.envelope.size)
        guard bytes.count == message.envelope.size else { throw .damaged("its content ends too early") }
        whole = bytes
    }

    private init(again other: SpoolContent) {
        message = other.message
        pool = other.pool
        whole = other.whole
    }

    /// The same content, for another transmission.
    func fromBeginning() -> SpoolContent { SpoolContent(again: self) }

    func next(maximum: Int) async throws -> [UInt8] {
        let start = offset.withLock { offset in
            defer { offset = min(offset + maximum, message.envelope.size) }
            return offset
        }
        let count = min(maximum, message.envelope.size - start)
        guard count > 0 else { return [] }
        if let whole { return Array(whole[start..<start + count]) }
        let bytes = try await pool.run { [message] () throws(SpoolError) in
            try message.handle.read(at: message.layout.content + start, count: count)
        }
        // An upload that ends too early would be taken for a complete message.
        guard bytes.count == count else { throw SpoolError.damaged("its content ends too early") }
        return bytes
    }
}
