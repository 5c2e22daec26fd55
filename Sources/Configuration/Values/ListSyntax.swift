// Lists as main.cf has them.

public enum ListSyntax {
    /// The items of a list: between commas and white space, where what stands in `{…}` is not divided.
    ///
    /// An item that is wholly in braces loses them, and the white space just inside. Empty items do not exist.
    /// - Throws: a sentence, when braces do not pair.
    public static func split(_ text: some StringProtocol) throws(InvalidList) -> [String] {
        var items: [String] = []
        var item: [UInt8] = []
        var depth = 0
        for byte in text.utf8 {
            if depth == 0, byte == UInt8(ascii: ",") || isSpace(byte) {
                add(item, to: &items)
                item = []
                continue
            }
            if byte == UInt8(ascii: "{") { depth += 1 }
            if byte == UInt8(ascii: "}") { depth -= 1 }
            guard depth >= 0 else { throw InvalidList(description: "a '}' without its '{'") }
            item.append(byte)
        }
        guard depth == 0 else { throw InvalidList(description: "a '{' without its '}'") }
        add(item, to: &items)
        return items
    }

    private static func add(_ item: [UInt8], to items: inout [String]) {
        guard !item.isEmpty else { return }
        let inner = isBraced(item) ? item.dropFirst().dropLast().trimmed : item[...]
        guard !inner.isEmpty else { return }
        items.append(String(decoding: inner, as: UTF8.self))
    }

    /// Whether the brace at the start closes at the end: `{a}{b}` is not braced as a whole.
    private static func isBraced(_ item: [UInt8]) -> Bool {
        guard item.first == UInt8(ascii: "{"), item.last == UInt8(ascii: "}") else { return false }
        var depth = 0
        for byte in item.dropLast() {
            if byte == UInt8(ascii: "{") { depth += 1 }
            if byte == UInt8(ascii: "}") { depth -= 1 }
            if depth == 0 { return false }
        }
        return true
    }
}

/// Why a text is no list.
public struct InvalidList: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
}
