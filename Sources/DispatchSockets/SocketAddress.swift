// Where a socket listens, and who is at its other end.

import Glibc

/// An IP address with a port, or the path of a UNIX socket.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address as a number: 127.0.0.1 is `0x7f00_0001`.
    case ipv4(UInt32, port: UInt16)
    /// The address as a number: ::1 is 1. `scope` is the interface's index for link-local addresses, else 0.
    case ipv6(UInt128, port: UInt16, scope: UInt32)
    /// A path of at most `longestPath` bytes; empty for a peer that has not bound its end, which is nearly every one.
    case unix(path: String)

    /// What fits `sun_path` with its closing NUL.
    public static let longestPath = 107

    /// Reads `127.0.0.1:8025`, `[::1]:8025`, `[fe80::1%eth0]:25` or `unix:/path`. Names are not looked up.
    public init(parsing text: String) throws(SocketError) {
        if text.hasPrefix("unix:") {
            self = try .unix(path: Self.checked(path: String(text.dropFirst("unix:".count)), in: text))
        } else if text.hasPrefix("[") {
            self = try Self.parseIPv6(text)
        } else {
            self = try Self.parseIPv4(text)
        }
    }

    /// The port; nil for a UNIX socket.
    public var port: UInt16? {
        switch self {
        case .ipv4(_, let port), .ipv6(_, let port, _): port
        case .unix: nil
        }
    }

    /// The address without port and brackets, or the path.
    public var host: String {
        switch self {
        case .ipv4(let address, _): Self.text(of: address)
        case .ipv6(let address, _, let scope): Self.text(of: address) + (scope == 0 ? "" : "%\(scope)")
        case .unix(let path): path
        }
    }

    public var isUnix: Bool {
        if case .unix = self { true } else { false }
    }

    /// True for 127.0.0.0/8, ::1 and UNIX sockets.
    public var isLoopback: Bool {
        switch self {
        case .ipv4(let address, _): address >> 24 == 127
        case .ipv6(let address, _, _): address == 1
        case .unix: true
        }
    }

    /// In the form that `init(parsing:)` reads.
    public var description: String {
        switch self {
        case .ipv4(_, let port): "\(host):\(port)"
        case .ipv6(_, let port, _): "[\(host)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    // MARK: Text

    private static func checked(path: String, in text: String) throws(SocketError) -> String {
        guard path.hasPrefix("/") else { throw .address("\"\(text)\": the path of a UNIX socket must be absolute") }
        guard path.utf8.count <= longestPath else {
            throw .address("\"\(text)\": the path has \(path.utf8.count) bytes, a UNIX socket's has at most \(longestPath)")
        }
        guard !path.utf8.contains(0) else { throw .address("\"unix:\(path.prefix { $0 != "\0" })\": the path contains a NUL") }
        return path
    }

    private static func parseIPv4(_ text: String) throws(SocketError) -> SocketAddress {
        guard let colon = text.lastIndex(of: ":") else {
            throw .address("\"\(text)\": expected address:port, [IPv6 address]:port or unix:/path")
        }
        let host = text[..<colon]
        guard !host.contains(":") else { throw .address("\"\(text)\": write an IPv6 address in brackets, [\(host)]:port") }
        var raw = in_addr()
        guard !host.utf8.contains(0), inet_pton(AF_INET, String(host), &raw) == 1 else {
            throw .address("\"\(text)\": \"\(host)\" is no IPv4 address (names are not looked up)")
        }
        return .ipv4(UInt32(bigEndian: raw.s_addr), port: try port(text[text.index(after: colon)...], in: text))
    }

    private static func parseIPv6(_ text: String) throws(SocketError) -> SocketAddress {
        guard let end = text.firstIndex(of: "]"), text[text.index(after: end)...].hasPrefix(":") else {
            throw .address("\"\(text)\": expected [IPv6 address]:port")
        }
        let inside = text[text.index(after: text.startIndex)..<end]
        let parts = inside.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var raw = in6_addr()
        guard let first = parts.first, !inside.utf8.contains(0), inet_pton(AF_INET6, String(first), &raw) == 1 else {
            throw .address("\"\(text)\": \"\(inside)\" is no IPv6 address")
        }
        var scope: UInt32 = 0
        if parts.count == 2 {
            scope = UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
            guard scope != 0 else { throw .address("\"\(text)\": there is no interface \"\(parts[1])\"") }
        }
        let port = try port(text[text.index(end, offsetBy: 2)...], in: text)
        return .ipv6(number(of: raw), port: port, scope: scope)
    }

    private static func port(_ digits: Substring, in text: String) throws(SocketError) -> UInt16 {
        let isNumber = !digits.isEmpty && digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard isNumber, let port = UInt16(digits) else { throw .address("\"\(text)\": \"\(digits)\" is no port (0 to 65535)") }
        return port
    }

    private static func text(of address: UInt32) -> String {
        // By hand: each request is told with its sender's address, and interpolation takes a microsecond.
        String(unsafeUninitializedCapacity: 15) { text in
            var count = 0
            func append(_ byte: UInt32) {
                text[count] = UInt8(byte)
                count += 1
            }
            for shift in stride(from: UInt32(24), through: 0, by: -8) {
                let part = address >> shift & 255
                if count > 0 { append(0x2e) }
                if part >= 100 { append(0x30 + part / 100) }
                if part >= 10 { append(0x30 + part / 10 % 10) }
                append(0x30 + part % 10)
            }
            return count
        }
    }

    private static func text(of address: UInt128) -> String {
        var raw = in6_addr()
        withUnsafeMutableBytes(of: &raw) { $0.storeBytes(of: address.bigEndian, as: UInt128.self) }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
            guard let start = buffer.baseAddress, inet_ntop(AF_INET6, &raw, start, socklen_t(buffer.count)) != nil else { return "::" }
            return String(cString: start)
        }
    }

    static func number(of raw: in6_addr) -> UInt128 {
        withUnsafeBytes(of: raw) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) }
    }
}
