// Which clients are ours: a list of networks.

/// Networks as in Postfix's `mynetworks`: `127.0.0.0/8 192.0.2.7 [::1] [fe80::]/10`, the first that matches decides, `!` turns one round.
///
/// An IPv4-mapped IPv6 address counts as the IPv4 address, both here and in the list; hence `[::]/0` has no IPv4 address in it.
public struct NetworkList: Sendable, Equatable, CustomStringConvertible {
    struct Network: Equatable {
        var address: UInt128
        /// Ones where an address must be equal.
        var mask: UInt128
        var isIPv6: Bool
        var isExcluded: Bool
    }

    let networks: [Network]
    /// As it was written.
    public let description: String

    public init(parsing text: some StringProtocol) throws(InvalidNetwork) {
        description = String(text)
        let items: [String]
        do { items = try ListSyntax.split(text) } catch { throw InvalidNetwork(description: error.description) }
        var networks: [Network] = []
        for item in items { networks.append(try Self.network(item)) }
        self.networks = networks
    }

    public var isEmpty: Bool { networks.isEmpty }

    /// Whether the IPv4 address, in host byte order, is in the list.
    public func contains(ipv4 address: UInt32) -> Bool { decide(UInt128(address), isIPv6: false) }

    /// Whether the IPv6 address, its 16 bytes as one number, is in the list.
    public func contains(ipv6 address: UInt128) -> Bool {
        switch IPAddress(ipv6: address) {
        case .ipv4(let mapped): decide(UInt128(mapped), isIPv6: false)
        case .ipv6(let value): decide(value, isIPv6: true)
        }
    }

    /// Whether the IPv6 address is in the list; false when it has not 16 bytes.
    public func contains(ipv6 bytes: some Collection<UInt8>) -> Bool {
        bytes.count == 16 && contains(ipv6: bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) })
    }

    private func decide(_ address: UInt128, isIPv6: Bool) -> Bool {
        let match = networks.first { $0.isIPv6 == isIPv6 && address & $0.mask == $0.address }
        return match.map { !$0.isExcluded } ?? false
    }

    /// Reads `address`, `address/length`, `[address]`, `[address]/length`, `[address/length]`, each with any number of `!` before it.
    private static func network(_ item: String) throws(InvalidNetwork) -> Network {
        let pattern = item.drop { $0 == "!" }
        let isExcluded = (item.utf8.count - pattern.utf8.count) % 2 == 1
        let (name, length) = try parts(of: pattern, item: item)
        guard let address = IPAddress(name) else { throw InvalidNetwork(item, "\(quoted(name)) is no IP address") }

        // The family as written decides how the length counts, the value what the network is: ::ffff:10.0.0.0/104 is 10.0.0.0/8.
        let isWrittenAsIPv6 = name.contains(":")
        let width = isWrittenAsIPv6 ? 128 : 32
        var bits = width
        if let length {
            guard let number = Int(length), length.utf8.allSatisfy({ (0x30...0x39).contains($0) }), number <= width else {
                throw InvalidNetwork(item, "the prefix length must be a number from 0 to \(width)")
            }
            bits = number
        }
        let value: UInt128
        let isIPv6: Bool
        switch address {
        case .ipv4(let number):
            if isWrittenAsIPv6 {
                guard bits >= 96 else { throw InvalidNetwork(item, "an IPv4-mapped network needs a prefix length of 96 or more") }
                bits -= 96
            }
            (value, isIPv6) = (UInt128(number), false)
        case .ipv6(let number): (value, isIPv6) = (number, true)
        }
        let ones: UInt128 = isIPv6 ? .max : UInt128(UInt32.max)
        let mask = bits == 0 ? 0 : ones & ~((1 << UInt128((isIPv6 ? 128 : 32) - bits)) - 1)
        guard value & ~mask & ones == 0 else {
            let base: IPAddress = isIPv6 ? .ipv6(value & mask) : .ipv4(UInt32(truncatingIfNeeded: value & mask))
            throw InvalidNetwork(item, "the address has bits set behind its prefix; the network is \(base.text)/\(bits)")
        }
        return Network(address: value, mask: mask, isIPv6: isIPv6, isExcluded: isExcluded)
    }

    private static func parts(of pattern: Substring, item: String) throws(InvalidNetwork) -> (address: Substring, length: Substring?) {
        var pattern = pattern
        var outer: Substring?
        let isBracketed = pattern.first == "["
        if isBracketed {
            guard let close = pattern.firstIndex(of: "]") else { throw InvalidNetwork(item, "a '[' without its ']'") }
            let rest = pattern[pattern.index(after: close)...]
            guard rest.isEmpty || rest.first == "/" else { throw InvalidNetwork(item, "behind the ']' comes '/' or nothing") }
            outer = rest.isEmpty ? nil : rest.dropFirst()
            pattern = pattern[..<close].dropFirst()
        } else if pattern.filter({ $0 == ":" }).count > 1 {
            throw InvalidNetwork(item, "an IPv6 address stands in brackets: [::1], [fe80::]/10")
        }
        guard let slash = pattern.firstIndex(of: "/") else { return (pattern, outer) }
        guard outer == nil else { throw InvalidNetwork(item, "two prefix lengths") }
        return (pattern[..<slash], pattern[pattern.index(after: slash)...])
    }
}

/// Why a text is no list of networks.
public struct InvalidNetwork: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    init(description: String) { self.description = description }

    init(_ item: String, _ reason: String) { description = "\(quoted(item)) is no network: \(reason)" }
}
