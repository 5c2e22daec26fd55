// A flush's name.

/// A flush's name: 26 characters of Crockford's base 32, in the order of time (the ULID layout: 48 bits of milliseconds, 80 of chance).
public struct FlushID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public static let length = 26

    // Not one UInt128: stored in values that async functions keep, its alignment of 16 bytes crashed (Swift 6.3).
    private let high: UInt64
    private let low: UInt64

    private var value: UInt128 { UInt128(high) << 64 | UInt128(low) }

    private init(_ value: UInt128) {
        high = UInt64(truncatingIfNeeded: value >> 64)
        low = UInt64(truncatingIfNeeded: value)
    }

    /// Nil when `text` is no flush ID.
    public init?(_ text: some StringProtocol) {
        let bytes = text.utf8
        // Of the first character's five bits two would not fit.
        guard bytes.count == Self.length, let first = bytes.first, first <= UInt8(ascii: "7") else { return nil }
        var value: UInt128 = 0
        for byte in bytes {
            guard let digit = Self.alphabet.firstIndex(of: byte) else { return nil }
            value = value << 5 | UInt128(digit)
        }
        self.init(value)
    }

    public var description: String {
        let value = value
        return String(unsafeUninitializedCapacity: Self.length) { bytes in
            for index in 0..<Self.length {
                bytes[index] = Self.alphabet[Int(truncatingIfNeeded: value >> (5 * (Self.length - 1 - index))) & 31]
            }
            return Self.length
        }
    }

    /// The next name: later than `previous`, also when the clock went back.
    ///
    /// - Parameter random: asked for only when `previous` is of an earlier millisecond; the kernel's chance costs a system call.
    static func next(after previous: FlushID?, at time: Timestamp, random: @autoclosure () -> UInt64) -> FlushID {
        // 48 bits reach to the year 10889; a clock beyond it must not make a name that `init` refuses.
        let milliseconds = UInt64(min(max(0, time.microseconds / 1000), 1 << 48 - 1))
        if let previous, previous.high >> 16 >= milliseconds, previous.value < .max { return FlushID(previous.value + 1) }
        return FlushID(UInt128(milliseconds) << 80 | UInt128(random()))
    }

    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    public static func < (a: FlushID, b: FlushID) -> Bool { (a.high, a.low) < (b.high, b.low) }
}
