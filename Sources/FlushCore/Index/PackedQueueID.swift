// Queue IDs in 16 bytes, because an index of a million messages holds each of them.

/// A queue ID of up to 20 characters in six bits each, or the number of a longer one in `LongQueueIDs`.
///
/// Postfix's IDs have 9 to 17 characters, the spool's 15 at most: the longer ones that the syntax allows are not met in practice.
struct PackedQueueID: Hashable {
    static let inlineLength = 20
    private static let charactersPerWord = 10
    private static let longMark: UInt64 = 1 << 63

    private let high: UInt64
    private let low: UInt64

    /// Nil when the ID is too long to be packed.
    init?(_ id: QueueID) {
        let text = id.description.utf8
        guard text.count <= Self.inlineLength else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        var position = 0
        for byte in text {
            let shift = UInt64(54 - 6 * (position % Self.charactersPerWord))
            let code = UInt64(Self.code(of: byte)) << shift
            if position < Self.charactersPerWord { words.0 |= code } else { words.1 |= code }
            position += 1
        }
        (high, low) = words
    }

    init(longNumber: Int) {
        high = Self.longMark
        low = UInt64(longNumber)
    }

    /// The number in `LongQueueIDs`, for an ID that is not packed.
    var longNumber: Int? { high & Self.longMark == 0 ? nil : Int(low) }

    /// The text of a packed ID.
    var text: String {
        // On the stack first: a string that is made with room for all of it is allocated, though most fit into its value.
        withUnsafeTemporaryAllocation(byteCount: Self.inlineLength, alignment: 1) { buffer in
            var count = 0
            for position in 0..<Self.inlineLength {
                let word = position < Self.charactersPerWord ? high : low
                let code = UInt8(truncatingIfNeeded: word >> UInt64(54 - 6 * (position % Self.charactersPerWord)) & 63)
                guard code != 0 else { break }
                buffer[count] = Self.byte(of: code)
                count += 1
            }
            return String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    // 1 to 63; 0 ends the text.
    private static func code(of byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0") + 1
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - UInt8(ascii: "A") + 11
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 37
        default: 63
        }
    }

    private static func byte(of code: UInt8) -> UInt8 {
        switch code {
        case 1...10: code - 1 + UInt8(ascii: "0")
        case 11...36: code - 11 + UInt8(ascii: "A")
        case 37...62: code - 37 + UInt8(ascii: "a")
        default: UInt8(ascii: "_")
        }
    }
}

/// The IDs that are too long to be packed, each under a number.
struct LongQueueIDs {
    private var numbers: [QueueID: Int] = [:]
    private var ids: [QueueID?] = []
    private var free: [Int] = []

    func number(of id: QueueID) -> Int? { numbers[id] }
    func id(_ number: Int) -> QueueID? { ids[number] }

    mutating func insert(_ id: QueueID) -> Int {
        if let known = numbers[id] { return known }
        let number: Int
        if let reused = free.popLast() {
            number = reused
            ids[number] = id
        } else {
            number = ids.count
            ids.append(id)
        }
        numbers[id] = number
        return number
    }

    mutating func remove(_ number: Int) {
        guard let id = ids[number] else { return }
        numbers[id] = nil
        ids[number] = nil
        free.append(number)
    }
}
