// JSON strings, written by hand (RFC 8259, section 7).

/// Appends JSON to bytes; for documents too small or too frequent for an encoder.
public enum JSONText {
    private static let hexadecimal = Array("0123456789abcdef".utf8)

    /// Appends the text in quotes. A Swift string is always well-formed, so the result is UTF-8.
    public static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(0x22)
        // Nearly every text is as it stands.
        let isPlain = text.utf8.withContiguousStorageIfAvailable { text in
            guard !text.contains(where: mustBeEscaped) else { return false }
            bytes.append(contentsOf: text)
            return true
        }
        if isPlain != true { appendEscaped(text, to: &bytes) }
        bytes.append(0x22)
    }

    private static func mustBeEscaped(_ byte: UInt8) -> Bool { byte < 0x20 || byte == 0x22 || byte == 0x5C }

    private static func appendEscaped(_ text: String, to bytes: inout [UInt8]) {
        for byte in text.utf8 {
            switch byte {
            case 0x22, 0x5C:
                bytes.append(0x5C)
                bytes.append(byte)
            case 0x0A: bytes.append(contentsOf: [0x5C, 0x6E])
            case 0x0D: bytes.append(contentsOf: [0x5C, 0x72])
            case 0x09: bytes.append(contentsOf: [0x5C, 0x74])
            case 0..<0x20:
                bytes.append(contentsOf: [0x5C, 0x75, 0x30, 0x30, hexadecimal[Int(byte >> 4)], hexadecimal[Int(byte & 15)]])
            default: bytes.append(byte)
            }
        }
    }
}
