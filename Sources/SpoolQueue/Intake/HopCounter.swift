// Counts the Received lines of a message as it streams by.

/// Finds `Received:` header fields, whatever the pieces in which the content comes.
struct HopCounter: Sendable {
    private(set) var received = 0

    private enum Place { case name(Int), line, body }
    private static let name = Array("received".utf8)
    /// How many bytes of the field's name have been seen, or where else we are.
    private var place = Place.name(0)
    /// The line so far is empty.
    private var isLineEmpty = true

    mutating func scan(_ bytes: [UInt8]) {
        if case .body = place { return }
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                if isLineEmpty {
                    place = .body
                    return
                }
                place = .name(0)
                isLineEmpty = true
                continue
            }
            if byte == UInt8(ascii: "\r") { continue }
            isLineEmpty = false
            guard case .name(let seen) = place else { continue }
            if seen == Self.name.count {
                // White space before the colon is obsolete, but counts (RFC 5322, section 4.5).
                if byte == UInt8(ascii: ":") { received += 1 }
                if byte != UInt8(ascii: " "), byte != UInt8(ascii: "\t") { place = .line }
            } else {
                place = byte | 0x20 == Self.name[seen] ? .name(seen + 1) : .line
            }
        }
    }
}
