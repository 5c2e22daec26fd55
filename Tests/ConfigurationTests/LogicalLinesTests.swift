// The shape of a file: continuation lines, comments, and every way to get a line wrong.

import Testing

@testable import Configuration

@Suite struct LogicalLinesTests {
    @Test func readsNamesAndValuesWithTheirLines() {
        let lines = LogicalLines("a=1\n\n# comment\n  \t\nb  =  2 3 \nc =\n")

        #expect(
            lines.assignments == [
                .init(name: "a", value: "1", line: 1), .init(name: "b", value: "2 3", line: 5), .init(name: "c", value: "", line: 6),
            ])
        #expect(lines.problems.isEmpty)
    }

    /// What postconf makes of the same text.
    @Test func aContinuationGoesOnOverCommentsAndEmptyLines() {
        let lines = LogicalLines("a = one\n  two\n# comment\n\n   # indented comment\n\tthree\nb = 1")

        #expect(lines.assignments == [.init(name: "a", value: "one two three", line: 1), .init(name: "b", value: "1", line: 7)])
        #expect(lines.problems.isEmpty)
    }

    @Test func aHashInsideAValueBelongsToIt() {
        #expect(LogicalLines("a = b # c").assignments.map(\.value) == ["b # c"])
    }

    @Test func anEqualsSignInsideAValueBelongsToIt() {
        #expect(LogicalLines("a = b = c").assignments.map(\.value) == ["b = c"])
    }

    @Test func carriageReturnsAtLineEndsAreWhiteSpace() {
        let lines = LogicalLines("a = 1\r\n\r\n  2\r\nb = 3\r\n")

        #expect(lines.assignments.map(\.value) == ["1 2", "3"])
        #expect(lines.assignments.map(\.line) == [1, 4])
    }

    @Test func theLastLineNeedsNoLineFeed() {
        #expect(LogicalLines("a = 1\n 2").assignments.map(\.value) == ["1 2"])
    }

    @Test(arguments: [
        ("a\nb = 1", 1, "no '=' after 'a'"),
        ("b = 1\n= 2", 2, "no parameter name before the '='"),
        ("b = 1\na c = 2", 2, "white space in the parameter name 'a c'"),
        ("\n  a = 1", 2, "a continuation line (it begins with white space) that continues nothing"),
        ("# x\n\ta", 2, "a continuation line (it begins with white space) that continues nothing"),
        ("a = 1\u{0}", 1, "a control character (byte 0) in the line"),
        ("a = 1\n  \u{1B}[31m", 2, "a control character (byte 27) in the line"),
        ("\u{7F}", 1, "a control character (byte 127) in the line"),
    ]) func namesTheLineThatIsWrong(text: String, line: Int, problem: String) throws {
        let lines = LogicalLines(text)

        #expect(lines.problems.map(\.text) == [problem])
        #expect(lines.problems.map(\.line) == [line])
    }

    @Test func aLineMayBeAsLongAsItsLimitAndNoLonger() {
        let fits = "a=" + String(repeating: "x", count: LogicalLines.maximumLineLength - 2)

        #expect(LogicalLines(fits).problems.isEmpty)
        #expect(LogicalLines(fits + "x").problems.map(\.line) == [1])
        #expect(LogicalLines("\n" + fits + "\n y\n z\nb = 1").problems.map(\.line) == [2])
        #expect(LogicalLines("\n" + fits + "\n y\n z\nb = 1").assignments.map(\.name) == ["b"])
    }

    @Test func aFileMayBeAsLongAsItsLimitAndNoLonger() {
        let comment = "#" + String(repeating: "x", count: LogicalLines.maximumFileSize - 1)

        #expect(LogicalLines(comment).problems.isEmpty)
        #expect(LogicalLines(comment + "x").problems.count == 1)
    }
}
