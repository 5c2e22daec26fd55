// Networks: who is in, who is out, and what is no network.

import Testing

@testable import Configuration

@Suite struct NetworkListTests {
    /// The answer for an address in text form.
    private func contains(_ list: String, _ address: String) throws -> Bool {
        let list = try NetworkList(parsing: list)
        switch try #require(IPAddress(address)) {
        case .ipv4(let value): return list.contains(ipv4: value)
        case .ipv6(let value): return list.contains(ipv6: value)
        }
    }

    @Test(arguments: [
        ("127.0.0.0/8", "127.0.0.1", true), ("127.0.0.0/8", "127.255.255.255", true), ("127.0.0.0/8", "128.0.0.0", false),
        ("127.0.0.0/8", "126.255.255.255", false), ("127.0.0.0/8", "::1", false), ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.6", false), ("192.0.2.6/31", "192.0.2.7", true), ("0.0.0.0/0", "255.255.255.255", true),
        ("0.0.0.0/0", "::1", false), ("[::1]", "::1", true), ("[::1]", "::2", false), ("[fe80::]/10", "febf::1", true),
        ("[fe80::]/10", "fec0::1", false), ("[fe80::/10]", "febf::1", true), ("[2001:db8::]/32", "2001:db8:ffff::1", true),
        ("[::]/0", "2001::", true),
        ("[::]/0", "10.0.0.1", false), ("[::1]/128", "::1", true), ("[10.0.0.0]/8", "10.1.2.3", true), ("", "127.0.0.1", false),
        ("[::ffff:10.0.0.0]/104", "10.1.2.3", true), ("[::ffff:10.0.0.0]/104", "11.1.2.3", false), ("[::ffff:10.0.0.1]", "10.0.0.1", true),
        ("!10.0.0.1 10.0.0.0/8", "10.0.0.1", false), ("!10.0.0.1 10.0.0.0/8", "10.0.0.2", true), ("10.0.0.0/8 !10.0.0.1", "10.0.0.1", true),
        ("!!10.0.0.1", "10.0.0.1", true), ("!10.0.0.1", "10.0.0.2", false), ("10.0.0.1,\n 10.0.0.2", "10.0.0.2", true),
    ]) func decides(list: String, address: String, expected: Bool) throws {
        #expect(try contains(list, address) == expected)
    }

    @Test func aMappedIPv6AddressIsTheIPv4Address() throws {
        let list = try NetworkList(parsing: "10.0.0.0/8")
        let mapped = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 10, 1, 2, 3]

        #expect(list.contains(ipv6: mapped))
        #expect(!list.contains(ipv6: mapped.dropLast() + [3, 0]))
        #expect(!list.contains(ipv6: [UInt8](repeating: 0, count: 12) + [10, 1, 2, 3]))
        #expect(!list.contains(ipv6: []))
    }

    @Test(arguments: [
        ("127.0.0.1/8", "'127.0.0.1/8' is no network: the address has bits set behind its prefix; the network is 127.0.0.0/8"),
        ("[fe80::1]/10", "'[fe80::1]/10' is no network: the address has bits set behind its prefix; the network is [fe80::]/10"),
        ("[::ffff:10.0.0.1]/104", "'[::ffff:10.0.0.1]/104' is no network: the address has bits set behind its prefix; the network is 10.0.0.0/8"),
        ("10.0.0.1/0", "'10.0.0.1/0' is no network: the address has bits set behind its prefix; the network is 0.0.0.0/0"),
        ("[::ffff:0:0]/95", "'[::ffff:0:0]/95' is no network: an IPv4-mapped network needs a prefix length of 96 or more"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network: the prefix length must be a number from 0 to 32"),
        ("[::]/129", "'[::]/129' is no network: the prefix length must be a number from 0 to 128"),
        ("10.0.0.0/", "'10.0.0.0/' is no network: the prefix length must be a number from 0 to 32"),
        ("10.0.0.0/+8", "'10.0.0.0/+8' is no network: the prefix length must be a number from 0 to 32"),
        ("10.0.0.0/99999999999999999999", "'10.0.0.0/99999999999999999999' is no network: the prefix length must be a number from 0 to 32"),
        ("10.0.0/8", "'10.0.0/8' is no network: '10.0.0' is no IP address"),
        ("010.0.0.1", "'010.0.0.1' is no network: '010.0.0.1' is no IP address"),
        ("localhost", "'localhost' is no network: 'localhost' is no IP address"),
        ("::1", "'::1' is no network: an IPv6 address stands in brackets: [::1], [fe80::]/10"),
        ("[::1", "'[::1' is no network: a '[' without its ']'"),
        ("[::1]x", "'[::1]x' is no network: behind the ']' comes '/' or nothing"),
        ("[::/0]/0", "'[::/0]/0' is no network: two prefix lengths"),
        ("[]", "'[]' is no network: '' is no IP address"),
        ("!", "'!' is no network: '' is no IP address"),
        ("[fe80::1%eth0]", "'[fe80::1%eth0]' is no network: 'fe80::1%eth0' is no IP address"),
        ("hash:/etc/networks", "'hash:/etc/networks' is no network: 'hash:' is no IP address"),
        ("{10.0.0.1", "a '{' without its '}'"),
    ]) func refuses(list: String, reason: String) {
        #expect(throws: InvalidNetwork(description: reason)) { try NetworkList(parsing: list) }
    }
}
