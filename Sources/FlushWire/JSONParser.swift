// Reads JSON (RFC 8259) into a JSONValue in one pass: a body must not hold up the loop, however it is nested.

/// A reader of one document in UTF-8. The work grows with the bytes, and the stack with the depth, which has a bound.
struct JSONParser {
    /// Arrays and objects within each other. No body or answer of this API has more than five.
    static let maximumDepth = 64

    private struct Malformed: Error {}

    private let bytes: [UInt8]
    private var position = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The value of a document; nil when it is none, when it is nested too deep, or when a number does not fit a `Double`.
    static func value(of bytes: [UInt8]) -> JSONValue? {
        var parser = JSONParser(bytes)
        do throws(Malformed) {
            let value = try parser.value(depth: 0)
            parser.skipSpace()
            return parser.position == bytes.count ? value : nil
        } catch {
            return nil
        }
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(Malformed) -> JSONValue {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth + 1)
        case UInt8(ascii: "["): return try array(depth: depth + 1)
        case UInt8(ascii: "\""): return .text(try text())
        case UInt8(ascii: "t"):
            try take("true")
            return .flag(true)
        case UInt8(ascii: "f"):
            try take("false")
            return .flag(false)
        case UInt8(ascii: "n"):
            try take("null")
            return .null
        default: return .number(try number())
        }
    }

    private mutating func array(depth: Int) throws(Malformed) -> JSONValue {
        guard depth <= Self.maximumDepth else { throw Malformed() }
        position += 1
        var items: [JSONValue] = []
        if takeIfNext("]") { return .array(items) }
        repeat { items.append(try value(depth: depth)) } while takeIfNext(",")
        guard takeIfNext("]") else { throw Malformed() }
        return .array(items)
    }

    /// Of members with one name the last counts.
    private mutating func object(depth: Int) throws(Malformed) -> JSONValue {
        guard depth <= Self.maximumDepth else { throw Malformed() }
        position += 1
        var members: [String: JSONValue] = [:]
        if takeIfNext("}") { return .object(members) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw Malformed() }
            let name = try text()
            guard takeIfNext(":") else { throw Malformed() }
            members[name] = try value(depth: depth)
        } while takeIfNext(",")
        guard takeIfNext("}") else { throw Malformed() }
        return .object(members)
    }

    /// RFC 8259, section 6: no plus sign, no leading zero, digits on both sides of the point.
    private mutating func number() throws(Malformed) -> Double {
        let start = position
        if next == UInt8(ascii: "-") { position += 1 }
        let isZero = next == UInt8(ascii: "0")
        let whole = takeDigits()
        guard whole == 1 || (whole > 1 && !isZero) else { throw Malformed() }
        if next == UInt8(ascii: ".") {
            position += 1
            guard takeDigits() > 0 else { throw Malformed() }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            guard takeDigits() > 0 else { throw Malformed() }
        }
        guard let number = Double(String(decoding: bytes[start..<position], as: UTF8.self)), number.isFinite else { throw Malformed() }
        return number
    }

    // MARK: Texts

    /// Reads a string from its opening quote to behind its closing one.
    private mutating func text() throws(Malformed) -> String {
        position += 1
        var decoded: [UInt8] = []
        var start = position
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                decoded += bytes[start..<position]
                position += 1
                guard let text = String(validating: decoded, as: UTF8.self) else { throw Malformed() }
                return text
            case UInt8(ascii: "\\"):
                decoded += bytes[start..<position]
                position += 1
                try escape(into: &decoded)
                start = position
            case 0..<0x20: throw Malformed()
            default: position += 1
            }
        }
        throw Malformed()
    }

    /// Reads what follows a backslash (RFC 8259, section 7).
    private mutating func escape(into decoded: inout [UInt8]) throws(Malformed) {
        guard let mark = next else { throw Malformed() }
        position += 1
        switch mark {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(mark)
        case UInt8(ascii: "b"): decoded.append(0x08)
        case UInt8(ascii: "f"): decoded.append(0x0C)
        case UInt8(ascii: "n"): decoded.append(0x0A)
        case UInt8(ascii: "r"): decoded.append(0x0D)
        case UInt8(ascii: "t"): decoded.append(0x09)
        case UInt8(ascii: "u"):
            var code = try fourDigits()
            if (0xD800..<0xDC00).contains(code) {
                // The first half of a pair; the second must follow at once.
                try take("\\u")
                let low = try fourDigits()
                guard (0xDC00..<0xE000).contains(low) else { throw Malformed() }
                code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw Malformed() }
            decoded += Array(String(Character(scalar)).utf8)
        default: throw Malformed()
        }
    }

    private mutating func fourDigits() throws(Malformed) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw Malformed() }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }

    // MARK: Bytes

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    /// Passes over space, and over this character if it comes then.
    private mutating func takeIfNext(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func take(_ word: StaticString) throws(Malformed) {
        for index in 0..<word.utf8CodeUnitCount {
            guard next == word.utf8Start[index] else { throw Malformed() }
            position += 1
        }
    }

    /// How many digits there were.
    private mutating func takeDigits() -> Int {
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
        return position - start
    }
}
