// IP addresses as numbers, so that networks can be compared with them.

import Glibc

/// An IPv4 or IPv6 address without a port. An IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) is the IPv4 address.
enum IPAddress: Equatable {
    case ipv4(UInt32)
    case ipv6(UInt128)

    private static let mappedPrefix = UInt128(0xFFFF) << 32

    /// `text` as `inet_pton` reads it: no brackets, no prefix length, no zone.
    init?(_ text: some StringProtocol) {
        // inet_pton stops at a NUL, and no address is longer than this.
        guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        let text = String(text)
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
            self.init(ipv6: bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) })
        } else {
            guard inet_pton(AF_INET, text, &bytes) == 1 else { return nil }
            self = .ipv4(bytes.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
        }
    }

    init(ipv6 value: UInt128) {
        self = value >> 32 == Self.mappedPrefix >> 32 ? .ipv4(UInt32(truncatingIfNeeded: value)) : .ipv6(value)
    }

    /// In the shortest usual form, an IPv6 address in brackets.
    var text: String {
        var buffer = [CChar](repeating: 0, count: 64)
        let bytes: [UInt8]
        let family: CInt
        switch self {
        case .ipv4(let value):
            bytes = stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
            family = AF_INET
        case .ipv6(let value):
            bytes = stride(from: 120, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt128($0)) }
            family = AF_INET6
        }
        _ = inet_ntop(family, bytes, &buffer, socklen_t(buffer.count))
        let name = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return family == AF_INET6 ? "[\(name)]" : name
    }
}
