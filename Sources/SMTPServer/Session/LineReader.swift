// Cuts command lines out of the input. Only CRLF ends a line (RFC 5321, section 2.3.8).

/// Finds the ends of command lines, remembering how far it has looked.
struct LineReader {
    enum Outcome: Equatable {
        /// More input is needed.
        case incomplete
        /// A line without its end.
        case line([UInt8])
        /// A line longer than allowed has come to its end; it was dropped.
        case overlong
        /// A CR or LF stands alone: where lines end is a matter of opinion, so nothing after it can be trusted.
        case bareLineEnd
        /// An overlong line does not end.
        case endless
    }

    let maximumLine: Int
    /// How many bytes of `InputBuffer.unread` hold no line end.
    private var searched = 0
    /// How many bytes of an overlong line have been dropped.
    private var dropped = 0

    /// How much of an overlong line is dropped before giving up, in multiples of the longest line.
    private static let patience = 32

    init(maximumLine: Int) { self.maximumLine = maximumLine }

    mutating func next(from input: inout InputBuffer) -> Outcome {
        let unread = input.unread
        let start = unread.startIndex
        var position = start + searched
        while position < unread.endIndex {
            let byte = unread[position]
            if byte == UInt8(ascii: "\n") { return .bareLineEnd }
            if byte == UInt8(ascii: "\r") {
                guard position + 1 < unread.endIndex else { break }
                guard unread[position + 1] == UInt8(ascii: "\n") else { return .bareLineEnd }
                return finish(unread[start..<position], in: &input)
            }
            position += 1
        }
        searched = position - start
        return dropExcess(of: &input)
    }

    private mutating func finish(_ line: ArraySlice<UInt8>, in input: inout InputBuffer) -> Outcome {
        let isOverlong = dropped > 0 || line.count + 2 > maximumLine
        let outcome = isOverlong ? Outcome.overlong : .line(Array(line))
        input.consume(line.count + 2)
        searched = 0
        dropped = 0
        return outcome
    }

    private mutating func dropExcess(of input: inout InputBuffer) -> Outcome {
        guard searched > maximumLine || dropped > 0 else { return .incomplete }
        dropped += searched
        input.consume(searched)
        searched = 0
        return dropped > maximumLine * Self.patience ? .endless : .incomplete
    }
}
