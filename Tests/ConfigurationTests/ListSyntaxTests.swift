// Lists: separators, braces, and braces that do not pair.

import Testing

@testable import Configuration

@Suite struct ListSyntaxTests {
    @Test(
        arguments: [
            ("", []), (" ,\t, \r\n", []), ("a", ["a"]), ("a,b c\td\r\n e", ["a", "b", "c", "d", "e"]), (",a,,b,", ["a", "b"]),
            ("{a b}, c", ["a b", "c"]), ("{ a, b }", ["a, b"]), ("{}", []), ("{ }", []), ("x{a b}y", ["x{a b}y"]), ("{a}{b c}", ["{a}{b c}"]),
            ("{{a b}}", ["{a b}"]), ("[::1] bücher.example", ["[::1]", "bücher.example"]),
        ] as [(String, [String])]) func divides(text: String, expected: [String]) throws
    {
        #expect(try ListSyntax.split(text) == expected)
    }

    @Test(arguments: [
        ("{a", "a '{' without its '}'"), ("a}", "a '}' without its '{'"), ("}{", "a '}' without its '{'"), ("{{a}", "a '{' without its '}'"),
    ])
    func refusesBracesThatDoNotPair(text: String, reason: String) {
        #expect(throws: InvalidList(description: reason)) { try ListSyntax.split(text) }
    }
}
