// What is JSON and what is not (RFC 8259), beyond what chance would find.

import FlushWire
import Testing

@Suite struct JSONParserTests {
    @Test(arguments: [
        ("null", JSONValue.null), (" true ", .flag(true)), ("false", .flag(false)), ("\"\"", .text("")), ("[]", .array([])), ("{ }", .object([:])),
        ("0", .number(0)), ("-0.5e+2", .number(-50)), ("1E-2", .number(0.01)), ("[1 ,\t2\r\n]", .array([.number(1), .number(2)])),
        ("{\"a\" : {\"b\":[null]} , \"c\":1}", .object(["a": .object(["b": .array([.null])]), "c": .number(1)])),
        ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u0000\"", .text("\"\\/\u{8}\u{c}\n\r\té\0")), ("\"\\uD83D\\uDE00ü\"", .text("😀ü")),
        ("{\"a\":1,\"a\":2}", .object(["a": .number(2)])),
    ])
    func readsWhatIsJSON(_ text: String, _ value: JSONValue) {
        #expect(JSONValue(parsing: Array(text.utf8)) == value)
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "True", "[", "[1", "[1,]", "[,1]", "[1 2]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}", "]", "[]]",
        "1 2", "+1", "01", "-", "-01", "1.", ".5", "1e", "1e+", "0x1", "1e999", "NaN", "\"", "\"\\\"", "\"\\x\"", "\"\\u12g4\"", "\"\\ud800\"",
        "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "\"\u{1}\"", "// c\n1", "'a'", "\u{feff}1",
    ])
    func refusesWhatIsNone(_ text: String) {
        #expect(JSONValue(parsing: Array(text.utf8)) == nil)
    }

    @Test func refusesWhatIsNoUTF8() {
        #expect(JSONValue(parsing: [0x22, 0xff, 0x22]) == nil)
        #expect(JSONValue(parsing: [0x22, 0xed, 0xa0, 0x80, 0x22]) == nil)
    }

    @Test func theDepthIsBounded() {
        func nested(_ depth: Int) -> [UInt8] { Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8) }

        #expect(JSONValue(parsing: nested(64)) != nil)
        #expect(JSONValue(parsing: nested(65)) == nil)
        #expect(JSONValue(parsing: Array(String(repeating: "{\"a\":[", count: 500_000).utf8)) == nil)
    }
}
