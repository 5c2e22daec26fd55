// Turns the bytes of a connection, in whatever portions they come, into requests. No I/O.

/// Holds nothing between two requests; a refusal is its last word.
struct RequestParser {
    enum Decision {
        /// Every byte was used and the request is not complete.
        case more
        /// The client waits for leave to send the body. Said at most once a request, and only when none of the body has come.
        case continueExpected(RequestHead)
        case request(RequestHead, body: [UInt8])
        case refused(RequestRefusal)
    }

    /// A body on its way; a class, so that a parser without one stays small.
    private final class Incoming {
        let head: RequestHead
        var body: [UInt8] = []
        var remaining: Int
        var chunks: ChunkedDecoder?

        init(_ head: RequestHead) {
            self.head = head
            switch head.framing {
            case .chunked: (remaining, chunks) = (0, ChunkedDecoder())
            case .length(let count): (remaining, chunks) = (count, nil)
            case .none: (remaining, chunks) = (0, nil)
            }
        }
    }

    /// A length is only a promise: memory for more than this is taken as the bytes come.
    private static let maximumReservation = 64 * 1024

    private var partial: [UInt8] = []
    private var scan = HeadScan()
    private var incoming: Incoming?

    var isIdle: Bool { partial.isEmpty && incoming == nil }
    var isInBody: Bool { incoming != nil }

    /// Reads on from `from` and moves it behind the last byte used. Call again with the rest until the answer is `more`.
    mutating func advance(over bytes: UnsafeRawBufferPointer, from: inout Int, limits: HTTPLimits) -> Decision {
        do throws(RequestRefusal) {
            if incoming != nil { return try advanceBody(over: bytes, from: &from, limits: limits) }
            guard let head = try nextHead(in: bytes, from: &from, limits: limits) else { return .more }
            if head.framing == .none { return .request(head, body: []) }
            incoming = Incoming(head)
            if head.expectsContinue, from == bytes.count { return .continueExpected(head) }
            return try advanceBody(over: bytes, from: &from, limits: limits)
        } catch {
            return .refused(error)
        }
    }

    // MARK: Head

    private mutating func nextHead(
        in bytes: UnsafeRawBufferPointer, from: inout Int, limits: HTTPLimits
    ) throws(RequestRefusal) -> RequestHead? {
        guard from < bytes.count else { return nil }
        if !partial.isEmpty { return try resumeHead(in: bytes, from: &from, limits: limits) }

        // A TLS greeting or other noise is known by its first byte; waiting for a line feed would take the whole timeout.
        guard ByteRules.isToken(bytes[from]) || bytes[from] == ByteRules.carriageReturn || bytes[from] == ByteRules.lineFeed
        else { throw .badLine(1, "it must begin with a method and one space.") }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[from...])
        scan = HeadScan()
        guard let end = try scan.end(in: rest, limits: limits) else {
            partial = [UInt8](rest)
            from = bytes.count
            return nil
        }
        from += end
        return try RequestHead(parsing: [UInt8](rest[Int(scan.start)..<end]), limits: limits)
    }

    private mutating func resumeHead(
        in bytes: UnsafeRawBufferPointer, from: inout Int, limits: HTTPLimits
    ) throws(RequestRefusal) -> RequestHead? {
        // One byte beyond the bound is enough for the scan to refuse it.
        let taken = min(bytes.count - from, max(limits.maximumHead + 1 - partial.count, 1))
        partial.append(contentsOf: bytes[from..<from + taken])
        from += taken
        var scan = self.scan
        let found = try partial.span.bytes.withUnsafeBytes { held throws(RequestRefusal) in
            try scan.end(in: held, limits: limits)
        }
        self.scan = scan
        guard let end = found else { return nil }
        from -= partial.count - end
        let head = [UInt8](partial[Int(scan.start)..<end])
        partial = []
        return try RequestHead(parsing: head, limits: limits)
    }

    // MARK: Body

    private mutating func advanceBody(
        over bytes: UnsafeRawBufferPointer, from: inout Int, limits: HTTPLimits
    ) throws(RequestRefusal) -> Decision {
        guard let incoming else { return .more }
        let isComplete: Bool
        if incoming.chunks != nil {
            isComplete = try incoming.chunks?.decode(bytes, from: &from, into: &incoming.body, limits: limits) ?? true
        } else {
            let taken = min(incoming.remaining, bytes.count - from)
            if incoming.body.isEmpty { incoming.body.reserveCapacity(min(incoming.remaining, Self.maximumReservation)) }
            incoming.body.append(contentsOf: bytes[from..<from + taken])
            incoming.remaining -= taken
            from += taken
            isComplete = incoming.remaining == 0
        }
        guard isComplete else { return .more }
        self.incoming = nil
        return .request(incoming.head, body: incoming.body)
    }
}
