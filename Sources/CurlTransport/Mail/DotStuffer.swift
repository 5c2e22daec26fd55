// The content as it goes over the wire: dots doubled, lines ended, the final dot (RFC 5321, section 4.5.2).

/// Encodes content piece by piece, wherever the pieces begin and end.
///
/// A bare LF becomes CRLF, so that what one server takes for a line and another does not can never hide an end of data.
struct DotStuffer {
    private enum Position { case lineStart, inLine, afterCR }
    private var position = Position.lineStart

    /// Appends the wire form of `bytes` to `output`.
    mutating func encode(_ bytes: [UInt8], into output: inout [UInt8]) {
        output.reserveCapacity(output.count + bytes.count + bytes.count / 32 + 8)
        var start = 0
        var i = 0
        while i < bytes.count {
            let byte = bytes[i]
            if position == .lineStart, byte == UInt8(ascii: ".") {
                output.append(contentsOf: bytes[start..<i])
                start = i
                output.append(byte)
            } else if byte == UInt8(ascii: "\n"), position != .afterCR {
                output.append(contentsOf: bytes[start..<i])
                start = i
                output.append(UInt8(ascii: "\r"))
            }
            switch byte {
            case UInt8(ascii: "\n"): position = .lineStart
            case UInt8(ascii: "\r"): position = .afterCR
            default: position = .inLine
            }
            i += 1
        }
        output.append(contentsOf: bytes[start...])
    }

    /// Appends what ends the content: a line end when the last line has none, and the dot.
    mutating func finish(into output: inout [UInt8]) {
        switch position {
        case .lineStart: break
        case .afterCR: output.append(UInt8(ascii: "\n"))
        case .inLine: output.append(contentsOf: "\r\n".utf8)
        }
        output.append(contentsOf: ".\r\n".utf8)
        position = .lineStart
    }
}
