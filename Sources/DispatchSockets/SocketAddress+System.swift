// Socket addresses as the kernel takes and gives them.

import CLinux
import Glibc

extension SocketAddress {
    var family: CInt {
        switch self {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// Calls `body` with the address as bind(2) and connect(2) want it.
    public func withSystemAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        switch self {
        case .ipv4(let address, let port):
            var raw = sockaddr_in()
            raw.sin_family = sa_family_t(AF_INET)
            raw.sin_port = port.bigEndian
            raw.sin_addr.s_addr = address.bigEndian
            return Self.rebound(&raw, length: MemoryLayout<sockaddr_in>.size, body)
        case .ipv6(let address, let port, let scope):
            var raw = sockaddr_in6()
            raw.sin6_family = sa_family_t(AF_INET6)
            raw.sin6_port = port.bigEndian
            raw.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &raw.sin6_addr) { $0.storeBytes(of: address.bigEndian, as: UInt128.self) }
            return Self.rebound(&raw, length: MemoryLayout<sockaddr_in6>.size, body)
        case .unix(let path):
            var raw = sockaddr_un()
            raw.sun_family = sa_family_t(AF_UNIX)
            // The struct is zeroed and the last byte never written: the path always ends in a NUL.
            withUnsafeMutableBytes(of: &raw.sun_path) { $0.copyBytes(from: path.utf8.prefix(Self.longestPath)) }
            return Self.rebound(&raw, length: MemoryLayout<sockaddr_un>.size, body)
        }
    }

    private static func rebound<Raw, Result>(
        _ raw: inout Raw, length: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }

    /// An address that the kernel has written; nil when it is of another family or too short.
    init?(storage: inout sockaddr_storage, length: socklen_t) {
        let size = Int(length)
        let parsed: SocketAddress? = withUnsafeBytes(of: &storage) { bytes in
            guard size >= MemoryLayout<sa_family_t>.size else { return nil }
            switch CInt(bytes.loadUnaligned(as: sa_family_t.self)) {
            case AF_INET:
                guard size >= MemoryLayout<sockaddr_in>.size else { return nil }
                let raw = bytes.loadUnaligned(as: sockaddr_in.self)
                return .ipv4(UInt32(bigEndian: raw.sin_addr.s_addr), port: UInt16(bigEndian: raw.sin_port))
            case AF_INET6:
                guard size >= MemoryLayout<sockaddr_in6>.size else { return nil }
                let raw = bytes.loadUnaligned(as: sockaddr_in6.self)
                return .ipv6(Self.number(of: raw.sin6_addr), port: UInt16(bigEndian: raw.sin6_port), scope: raw.sin6_scope_id)
            case AF_UNIX:
                let start = MemoryLayout<sa_family_t>.size
                let path = bytes[start..<min(max(size, start), bytes.count)].prefix { $0 != 0 }
                return .unix(path: String(decoding: path, as: UTF8.self))
            default:
                return nil
            }
        }
        guard let parsed else { return nil }
        self = parsed
    }

    /// The address that a descriptor is bound to.
    init(boundTo descriptor: CInt) throws(SocketError) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { throw .system(operation: "getsockname", code: errno) }
        guard let address = SocketAddress(storage: &storage, length: length) else {
            throw .system(operation: "getsockname", code: EAFNOSUPPORT)
        }
        self = address
    }
}
