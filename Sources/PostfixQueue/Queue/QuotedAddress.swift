// Addresses as people and Postfix's logs write them; in a queue file they stand bare.

/// RFC 5322's `addr-spec` of a bare address: a local part that is no `dot-atom` is quoted.
enum QuotedAddress {
    private static let specials = Set("()<>@,;:\\\"[] ".utf8)

    static func text(_ address: UnsafeRawBufferPointer) -> String {
        let local = address[..<(address.lastIndex(of: UInt8(ascii: "@")) ?? address.endIndex)]
        guard !address.isEmpty, !isDotAtom(local) else { return String(decoding: address, as: UTF8.self) }
        var bytes = [UInt8(ascii: "\"")]
        for byte in local {
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "\r") { bytes.append(UInt8(ascii: "\\")) }
            bytes.append(byte)
        }
        bytes.append(UInt8(ascii: "\""))
        return String(decoding: bytes + address[local.endIndex...], as: UTF8.self)
    }

    /// Bytes beyond ASCII are letters (RFC 6532).
    private static func isDotAtom(_ local: Slice<UnsafeRawBufferPointer>) -> Bool {
        let dot = UInt8(ascii: ".")
        var previous = dot
        for byte in local {
            if byte == dot, previous == dot { return false }
            if byte < 0x20 || byte == 0x7f || specials.contains(byte) { return false }
            previous = byte
        }
        return previous != dot
    }
}
