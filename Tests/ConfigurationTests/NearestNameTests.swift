// Which name somebody meant.

import Testing

@testable import Configuration

@Suite struct NearestNameTests {
    @Test(arguments: [
        ("", "", 0), ("a", "", 1), ("", "ab", 2), ("abc", "abc", 0), ("abc", "axc", 1), ("abc", "acb", 1), ("abc", "abcd", 1), ("abcd", "abc", 1),
        ("kitten", "sitting", 3), ("ca", "abc", 3),
    ]) func countsWhatMustChange(a: String, b: String, distance: Int) {
        #expect(editDistance(Array(a.utf8), Array(b.utf8)) == distance)
    }

    @Test func proposesOnlyWhatIsNear() {
        #expect(nearestName(to: "relay_domian", among: ["relay_domains", "relayhost"]) == "relay_domains")
        #expect(nearestName(to: "RELAYHOST", among: ["relay_domains", "relayhost"]) == "relayhost")
        #expect(nearestName(to: "nothing_like_it", among: ["relay_domains", "relayhost"]) == nil)
        #expect(nearestName(to: "", among: ["a"]) == nil)
        #expect(nearestName(to: String(repeating: "a", count: 1 << 20), among: ["a"]) == nil)
    }
}
