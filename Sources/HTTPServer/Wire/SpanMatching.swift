// Compares a stretch of a head with a text.

/// Whether the bytes are exactly this text. Methods are case-sensitive (RFC 9110, section 9.1).
@inline(__always)
func spells(_ span: Span<UInt8>, _ range: HeadRange, _ text: StaticString) -> Bool {
    guard Int(range.count) == text.utf8CodeUnitCount else { return false }
    for index in 0..<Int(range.count) where span[Int(range.start) + index] != text.utf8Start[index] { return false }
    return true
}

/// Whether the bytes are this lower-case text, written in any case.
@inline(__always)
func matches(_ span: Span<UInt8>, _ range: HeadRange, _ text: StaticString) -> Bool {
    guard Int(range.count) == text.utf8CodeUnitCount else { return false }
    for index in 0..<Int(range.count)
    where ByteRules.lowercased(span[Int(range.start) + index]) != text.utf8Start[index] { return false }
    return true
}
