// A message's name in the queue.

/// A queue ID: 1 to 255 of `[A-Za-z0-9_]`, as Postfix's `mail_queue_id_ok` has it.
///
/// An ID may be used again after its message has left; pair it with the arrival time where that matters.
public struct QueueID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public static let maximumLength = 255

    public let description: String

    /// Nil when `text` is no queue ID. Inlined, because a scan asks for every file.
    @inlinable public init?(_ text: some StringProtocol) {
        let bytes = text.utf8
        guard !bytes.isEmpty, bytes.count <= Self.maximumLength, bytes.allSatisfy(Self.isAllowed) else { return nil }
        description = String(text)
    }

    /// One that has been a queue ID before it was packed.
    init(_ packed: PackedQueueID) { description = packed.text }

    @inlinable static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }

    public static func < (a: QueueID, b: QueueID) -> Bool { a.description < b.description }
}
