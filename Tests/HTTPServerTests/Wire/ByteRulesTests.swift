// The byte classes against the sets that the RFCs spell out.
import Testing

@testable import HTTPServer

@Suite struct ByteRulesTests {
    private static let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    private static let digits = "0123456789"

    private func members(_ rule: (UInt8) -> Bool) -> Set<UInt8> { Set((UInt8.min...UInt8.max).filter(rule)) }

    @Test func tokensAreThoseOfRFC9110() {
        #expect(members(ByteRules.isToken) == Set((Self.letters + Self.digits + "!#$%&'*+-.^_`|~").utf8))
    }

    @Test func targetsAreVisibleWithoutFragmentsAndQuotes() {
        #expect(members(ByteRules.isTarget) == Set(0x21...0x7E).subtracting(Set(##"#"<>\"##.utf8)))
    }

    @Test func hostsHaveNoCommaAndNoUser() {
        #expect(members(ByteRules.isHost) == Set((Self.letters + Self.digits + "-._~%:[]").utf8))
    }

    @Test func valuesHaveNoControls() {
        #expect(members(ByteRules.isFieldValue) == Set(0x20...0xFF).subtracting([0x7F]).union([0x09]))
    }

    @Test func hexadecimalDigitsHaveTheirValues() {
        let values = "0123456789abcdefABCDEF".utf8.map { ByteRules.hexadecimal($0) }

        #expect(values == (0...15).map { $0 } + (10...15).map { $0 })
        #expect(members { ByteRules.hexadecimal($0) != nil }.count == 22)
    }
}
