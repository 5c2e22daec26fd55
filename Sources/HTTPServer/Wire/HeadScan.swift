// Finds the end of a head in bytes that arrive in any portions, looking at each byte once.
import Glibc

/// Where the search stands. All positions count from the head's first byte.
struct HeadScan {
    /// Longest method with its spaces and the version: what a request line may have besides the target.
    static let requestLineSlack = 64

    /// Where the request line begins: one empty line before it is forgiven (RFC 9112, section 2.2).
    private(set) var start: Int32 = 0
    private var next: Int32 = 0
    private var lineStart: Int32 = 0
    private var lines: Int32 = 0

    /// The position after the empty line that ends the head, or nil when it has not arrived.
    ///
    /// `bytes` is everything of the head so far; a later call gets the same bytes and more.
    mutating func end(in bytes: UnsafeRawBufferPointer, limits: HTTPLimits) throws(RequestRefusal) -> Int? {
        while let feed = Self.lineFeed(in: bytes, from: Int(next)) {
            try check(length: feed + 1, limits)
            guard feed > 0, bytes[feed - 1] == ByteRules.carriageReturn else {
                throw .badLine(Int(lines) + 1, "it must end with CR LF, not with a bare LF.")
            }
            let isEmpty = feed - 1 == Int(lineStart)
            next = Int32(feed + 1)
            lineStart = next
            if isEmpty, lines > 0 { return feed + 1 }
            if isEmpty {
                guard start == 0 else { throw .badRequest("Empty lines stand where a request line should.") }
                start = next
                continue
            }
            lines += 1
            guard lines <= limits.maximumFields + 1 else { throw .tooManyFields(limits) }
        }
        next = Int32(bytes.count)
        try check(length: bytes.count, limits)
        return nil
    }

    private func check(length: Int, _ limits: HTTPLimits) throws(RequestRefusal) {
        if lines == 0, length > limits.maximumTarget + Self.requestLineSlack { throw .targetTooLong(limits) }
        if length > limits.maximumHead { throw .headTooLong(limits) }
    }

    private static func lineFeed(in bytes: UnsafeRawBufferPointer, from: Int) -> Int? {
        guard let base = bytes.baseAddress, from < bytes.count,
            let found = memchr(base + from, Int32(ByteRules.lineFeed), bytes.count - from)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
