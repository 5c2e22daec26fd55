// The shape of main.cf: logical lines, comments, and `name = value`.

/// One `name = value` of a file.
struct Assignment: Equatable {
    let name: String
    let value: String
    /// The line where it begins, counted from 1.
    let line: Int
}

/// Takes a file's text apart into assignments, and says what is wrong with which line.
///
/// As in main.cf: a line that begins with white space continues the one before; empty lines and lines whose first visible character is
/// `#` count for nothing, also between a line and its continuation. A `#` further on is part of the value.
struct LogicalLines {
    static let maximumFileSize = 1 << 20
    static let maximumLineLength = 64 << 10

    private(set) var assignments: [Assignment] = []
    private(set) var problems: [(line: Int, text: String)] = []
    private var pending: (text: [UInt8], line: Int)?
    private var pendingIsTooLong = false

    init(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.maximumFileSize else {
            problems.append((1, "the file is longer than \(Self.maximumFileSize) bytes"))
            return
        }
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            add(line, number: index + 1)
        }
        finish()
    }

    private mutating func add(_ line: ArraySlice<UInt8>, number: Int) {
        let content = line.trimmed
        guard let first = content.first, first != UInt8(ascii: "#") else { return }
        if let bad = content.first(where: { $0 == 0x7F || $0 < 0x20 && !isSpace($0) }) {
            problems.append((number, "a control character (byte \(bad)) in the line"))
            return
        }
        guard let start = line.first, isSpace(start) else {
            finish()
            pending = (Array(content.prefix(Self.maximumLineLength)), number)
            pendingIsTooLong = content.count > Self.maximumLineLength
            return
        }
        guard let begun = pending else {
            problems.append((number, "a continuation line (it begins with white space) that continues nothing"))
            return
        }
        pendingIsTooLong = pendingIsTooLong || begun.text.count + 1 + content.count > Self.maximumLineLength
        guard !pendingIsTooLong else { return }
        pending?.text.append(UInt8(ascii: " "))
        pending?.text.append(contentsOf: content)
    }

    private mutating func finish() {
        guard let (text, line) = pending else { return }
        pending = nil
        guard !pendingIsTooLong else {
            problems.append((line, "the line and its continuations are longer than \(Self.maximumLineLength) bytes"))
            return
        }
        guard let equals = text.firstIndex(of: UInt8(ascii: "=")) else {
            problems.append((line, "no '=' after \(quoted(String(decoding: text, as: UTF8.self)))"))
            return
        }
        let name = String(decoding: text[..<equals].trimmed, as: UTF8.self)
        guard !name.isEmpty else {
            problems.append((line, "no parameter name before the '='"))
            return
        }
        guard !name.utf8.contains(where: isSpace) else {
            problems.append((line, "white space in the parameter name \(quoted(name))"))
            return
        }
        let value = String(decoding: text[(equals + 1)...].trimmed, as: UTF8.self)
        assignments.append(Assignment(name: name, value: value, line: line))
    }
}

/// The white space of C's `isspace`: blank, tab, LF, VT, FF, CR.
func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (0x09...0x0D).contains(byte) }

extension ArraySlice<UInt8> {
    /// Without white space at either end.
    var trimmed: ArraySlice<UInt8> {
        guard let first = firstIndex(where: { !isSpace($0) }), let last = lastIndex(where: { !isSpace($0) }) else { return self[endIndex...] }
        return self[first...last]
    }

    var trimmedAtStart: ArraySlice<UInt8> { drop(while: isSpace) }
}
