// Reads a message's content: dots unstuffed, its end found, every other opinion of a line end refused.

/// The content state machine (RFC 5321, sections 4.1.1.4 and 4.5.2).
///
/// Only `CRLF . CRLF` ends the content. A CR or LF that stands alone is refused at once: what one server takes for a line
/// end and the next does not is how a second message is smuggled into a first one. All other bytes, NUL included, pass.
struct ContentReader {
    enum Outcome: Equatable {
        /// The input is used up.
        case incomplete
        /// As many bytes are decoded as were asked for; call again after taking them.
        case full
        /// The end was read; what follows in the input are commands.
        case end
        /// A line feed without carriage return.
        case bareLineFeed
        /// A carriage return without line feed.
        case bareCarriageReturn
    }

    private enum State {
        case lineStart, middle, carriageReturn, dot, dotCarriageReturn
    }

    private var state = State.lineStart
    /// What is decoded and not yet taken.
    private(set) var decoded: [UInt8] = []

    /// Takes what is decoded. A chunk's memory goes with it.
    mutating func take() -> [UInt8] {
        let taken = decoded
        decoded = []
        return taken
    }

    /// Decodes until `chunk` bytes (2 at least) are there, give or take a line end, or the input is used up, or the content ends.
    /// Never decodes more than `chunk`.
    mutating func read(from input: inout InputBuffer, chunk: Int) -> Outcome {
        // A line end is decoded in one step; this leaves room for it.
        let limit = chunk - 1
        let unread = input.unread
        var position = unread.startIndex
        var outcome = Outcome.incomplete
        while position < unread.endIndex {
            guard decoded.count < limit else {
                outcome = .full
                break
            }
            if state == .middle || state == .lineStart {
                let run = ordinaryBytes(in: unread[position...], atMost: limit - decoded.count)
                if !run.isEmpty {
                    decoded.append(contentsOf: run)
                    position = run.endIndex
                    state = .middle
                    continue
                }
            }
            if let verdict = step(unread[position]) {
                outcome = verdict
                position += 1
                break
            }
            position += 1
        }
        input.consume(position - unread.startIndex)
        if outcome == .incomplete, decoded.count >= limit { return .full }
        return outcome
    }

    /// The bytes up to the next that means something.
    private func ordinaryBytes(in bytes: ArraySlice<UInt8>, atMost limit: Int) -> ArraySlice<UInt8> {
        if state == .lineStart, bytes.first == UInt8(ascii: ".") { return bytes.prefix(0) }
        let bytes = bytes.prefix(limit)
        let length = bytes.withUnsafeBufferPointer { buffer in
            var index = 0
            while index < buffer.count, buffer[index] != UInt8(ascii: "\r"), buffer[index] != UInt8(ascii: "\n") { index += 1 }
            return index
        }
        return bytes.prefix(length)
    }

    /// One byte of consequence: CR, LF, a dot at the start of a line, or what follows these.
    private mutating func step(_ byte: UInt8) -> Outcome? {
        let isReturn = byte == UInt8(ascii: "\r")
        let isFeed = byte == UInt8(ascii: "\n")
        switch state {
        case .lineStart where byte == UInt8(ascii: "."):
            state = .dot
        case .lineStart, .middle:
            if isFeed { return .bareLineFeed }
            state = .carriageReturn
        case .carriageReturn:
            guard isFeed else { return .bareCarriageReturn }
            decoded.append(UInt8(ascii: "\r"))
            decoded.append(UInt8(ascii: "\n"))
            state = .lineStart
        case .dot:
            if isFeed { return .bareLineFeed }
            if isReturn {
                state = .dotCarriageReturn
            } else {
                decoded.append(byte)
                state = .middle
            }
        case .dotCarriageReturn:
            return isFeed ? .end : .bareCarriageReturn
        }
        return nil
    }
}
