// Where a relay domain's mail goes.

/// A next hop as Postfix writes it: `[host]:port`, `[IPv6:2001:db8::1]:port`, or `host:port` without brackets, which means MX lookup.
public struct NextHop: Hashable, Sendable, CustomStringConvertible {
    public static let smtpPort: UInt16 = 25

    /// A domain name, an IPv4 or an IPv6 address (without `IPv6:`).
    public let host: String
    public let isIPv6: Bool
    public let port: UInt16
    /// The name's MX records are looked up (no brackets).
    public let usesMX: Bool

    public var description: String {
        let name = isIPv6 ? "IPv6:\(host)" : host
        return (usesMX ? name : "[\(name)]") + ":\(port)"
    }

    /// Reads a next hop; the port is 25 when none is given.
    public init(parsing text: String) throws(InvalidNextHop) {
        guard text.utf8.count <= 300 else { throw .syntax("longer than 300 bytes") }
        var rest = Substring(text)
        var name: Substring
        if rest.hasPrefix("[") {
            guard let close = rest.firstIndex(of: "]") else { throw .syntax("a '[' without its ']'") }
            name = rest[rest.index(after: rest.startIndex)..<close]
            rest = rest[rest.index(after: close)...]
            usesMX = false
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            name = rest[..<colon]
            rest = rest[colon...]
            usesMX = true
        }

        if rest.isEmpty {
            port = Self.smtpPort
        } else {
            guard rest.first == ":", let number = UInt16(rest.dropFirst()), number > 0, rest.dropFirst().allSatisfy(\.isNumber)
            else { throw .syntax("the port must be a number from 1 to 65535") }
            port = number
        }

        if name.lowercased().hasPrefix("ipv6:") {
            name = name.dropFirst(5)
            guard !usesMX, Self.isIPv6Address(name) else { throw .syntax("'\(name)' is no IPv6 address") }
            host = name.lowercased()
            isIPv6 = true
            return
        }
        isIPv6 = false
        if !usesMX, Self.isIPv4Address(name) {
            host = String(name)
            return
        }
        guard !Self.isIPv4Address(name) else { throw .syntax("an address stands in brackets: [\(name)]") }
        guard !Self.isIPv6Address(name) else { throw .syntax("an IPv6 address has 'IPv6:' before it: [IPv6:\(name)]") }
        do { host = try DomainName(parsing: name).description } catch { throw .host(error) }
    }

    /// Four numbers without leading zeros, which some take for octal.
    private static func isIPv4Address(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                (1...3).contains(part.utf8.count) && part.utf8.allSatisfy { (0x30...0x39).contains($0) } && UInt8(part) != nil
                    && (part.utf8.count == 1 || part.first != "0")
            }
    }

    /// RFC 4291, section 2.2: eight groups, one run of which may be left out, the last two of which may be an IPv4 address.
    private static func isIPv6Address(_ text: Substring) -> Bool {
        guard let gap = text.firstRange(of: "::") else { return groups(in: text, mayEndInIPv4: true) == 8 }
        let before = text[..<gap.lowerBound]
        let after = text[gap.upperBound...]
        guard !after.contains("::"), let left = before.isEmpty ? 0 : groups(in: before, mayEndInIPv4: false),
            let right = after.isEmpty ? 0 : groups(in: after, mayEndInIPv4: true)
        else { return false }
        return left + right < 8
    }

    private static func groups(in text: Substring, mayEndInIPv4: Bool) -> Int? {
        var count = 0
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (i, part) in parts.enumerated() {
            if mayEndInIPv4, i == parts.count - 1, part.contains(".") {
                guard isIPv4Address(part) else { return nil }
                count += 2
            } else {
                guard (1...4).contains(part.utf8.count), part.allSatisfy({ $0.isASCII && $0.isHexDigit }) else { return nil }
                count += 1
            }
        }
        return count
    }
}

/// Why a text is no next hop.
public enum InvalidNextHop: Error, Equatable, Sendable, CustomStringConvertible {
    case syntax(String)
    case host(InvalidDomainName)

    public var description: String {
        switch self {
        case .syntax(let detail): "the next hop must be [host]:port, [IPv6:address]:port or host:port: \(detail)"
        case .host(let error): "the next hop's host is invalid: \(error)"
        }
    }
}
