// Next hops as Postfix writes them, and everything that only looks like one.

import Testing

@testable import FlushCore

@Suite struct NextHopTests {
    @Test(arguments: [
        ("[mail.example]:25", "mail.example", 25, false, "[mail.example]:25"), ("[mail.example]", "mail.example", 25, false, "[mail.example]:25"),
        ("[MAIL.example]:2525", "mail.example", 2525, false, "[mail.example]:2525"), ("mail.example", "mail.example", 25, true, "mail.example:25"),
        ("mail.example:26", "mail.example", 26, true, "mail.example:26"), ("[192.0.2.1]:65535", "192.0.2.1", 65535, false, "[192.0.2.1]:65535"),
        ("[bücher.example]:1", "xn--bcher-kva.example", 1, false, "[xn--bcher-kva.example]:1"),
        ("localhost:25", "localhost", 25, true, "localhost:25"),
        ("[localhost]:025", "localhost", 25, false, "[localhost]:25"),
    ]) func readsHostAndPort(text: String, host: String, port: UInt16, usesMX: Bool, description: String) throws {
        let hop = try NextHop(parsing: text)

        #expect(hop.host == host)
        #expect(hop.port == port)
        #expect(hop.usesMX == usesMX)
        #expect(!hop.isIPv6)
        #expect(hop.description == description)
        #expect(try NextHop(parsing: hop.description) == hop)
    }

    @Test(arguments: [
        "::", "::1", "1::", "2001:db8::1", "2001:DB8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "::ffff:192.0.2.1",
        "1:2:3:4:5:6:192.0.2.1",
        "64:ff9b::192.0.2.33",
    ]) func readsIPv6Addresses(address: String) throws {
        let hop = try NextHop(parsing: "[IPv6:\(address)]:25")

        #expect(hop.isIPv6)
        #expect(hop.host == address.lowercased())
        #expect(hop.description == "[IPv6:\(address.lowercased())]:25")
        #expect(try NextHop(parsing: hop.description) == hop)
        #expect(try NextHop(parsing: "[ipv6:\(address)]") == hop)
    }

    @Test(arguments: [
        "", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::", "::1%eth0",
        " ::1", ":1::",
        "1::2:", "1.2.3.4", "1.2.3.4::", "1.2.3.4::1", "::1.2.3.4:5", "::1.2.3", "::1.2.3.256", "::+1.2.3.4", "::01.2.3.4", "::ｆ", "::1\u{0}",
        "[::1]",
    ]) func refusesWhatIsNoIPv6Address(address: String) {
        #expect(throws: InvalidNextHop.self) { try NextHop(parsing: "[IPv6:\(address)]:25") }
    }

    @Test(arguments: [
        "", ":", ":25", "[]", "[]:25", "[", "]", "[a", "[a]25", "[a]x:25", "[a]:", "a:", "[a]:0", "[a]:65536", "[a]:-1", "[a]:+1", "[a]:2 5",
        "[a]:٢٥", "[a]:25:26",
        "[a]:25\n", "[a]:0x19", "[a]: 25", "[a]:99999999999999999999", "[[a]]:25", "a b:25", "[a b]:25", "[a\u{0}]:25", "[a\r\n]:25", "[a/b]:25",
        "smtp:[a]:25",
        "smtp:a", "http://a", "192.0.2.1:25", "192.0.2.1", "[192.0.2]:25", "[192.0.2.1.1]:25", "[192.0.2.256]:25", "[+1.2.3.4]:25", "[1.2.3.+4]:25",
        "[01.2.3.4]:25",
        "[1.2.3.04]:25", "[１.2.3.4]:25", "[::1]:25", "::1", "IPv6:::1", "IPv6:::1:25", "[a.]:25", "[-a]:25", "[..]:25", "[a]\u{301}:25",
        "[\u{301}a]:25",
        String(repeating: "a", count: 301), "[" + String(repeating: "a.", count: 140) + "b]:25", String(repeating: "[", count: 300),
    ]) func refusesWhatOnlyLooksLikeANextHop(text: String) {
        #expect(throws: InvalidNextHop.self) { try NextHop(parsing: text) }
    }

    @Test(arguments: [
        ("[mail.example", "a '[' without its ']'"), ("[mail.example]:70000", "the port must be a number from 1 to 65535"),
        ("192.0.2.1:25", "[192.0.2.1]"), ("[2001:db8::1]:25", "[IPv6:2001:db8::1]"), ("[IPv6:1.2.3.4]", "'1.2.3.4' is no IPv6 address"),
    ]) func saysWhatIsWrong(text: String, detail: String) throws {
        let error = #expect(throws: InvalidNextHop.self) { try NextHop(parsing: text) }

        #expect(try #require(error).description.contains(detail))
    }
}
