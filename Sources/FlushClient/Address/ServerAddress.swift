// Where the daemon's HTTP API is.

import DispatchSockets

/// The API's address: `http://host:port`, `https://host` (with a path before the API's own, when a proxy has one), or a UNIX socket.
public struct ServerAddress: Sendable, Equatable, CustomStringConvertible {
    public static let maximumLength = 1_024

    /// As it is written in messages.
    public let description: String
    /// Before the API's paths, without a slash at its end.
    let base: String
    let unixSocket: String?

    /// Reads `http://…`, `https://…`, `unix:/path` or `/path`.
    public init(parsing text: String) throws(InvalidServerAddress) {
        if text.hasPrefix("unix:") || text.hasPrefix("/") {
            do throws(SocketError) {
                let address = try SocketAddress(parsing: text.hasPrefix("/") ? "unix:" + text : text)
                description = address.description
                unixSocket = address.host
            } catch {
                throw InvalidServerAddress(reason: "\(error)")
            }
            // What the daemon takes for its own name over any way.
            base = "http://localhost"
            return
        }
        func refuse(_ why: String) -> InvalidServerAddress { InvalidServerAddress(reason: "\"\(text.prefix(200))\": \(why)") }
        let lowered = text.lowercased()
        guard let scheme = ["http://", "https://"].first(where: lowered.hasPrefix) else {
            throw refuse("expected http://host:port, https://host or unix:/path")
        }
        guard text.utf8.count <= Self.maximumLength else { throw refuse("longer than \(Self.maximumLength) bytes") }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) else {
            throw refuse("it has spaces or other characters that a URL has not")
        }
        guard !text.contains("?"), !text.contains("#") else { throw refuse("a server's address has no query and no fragment") }
        var rest = text.dropFirst(scheme.count)
        while rest.last == "/" { rest = rest.dropLast() }
        let authority = rest.prefix { $0 != "/" }
        guard !authority.isEmpty, !authority.hasPrefix(":") else { throw refuse("the host is missing") }
        guard !authority.contains("@") else { throw refuse("credentials do not belong into the address, but into a token file") }
        let port = authority.last == "]" ? "" : authority.split(separator: ":", omittingEmptySubsequences: false).dropFirst().last ?? ""
        guard authority.hasPrefix("[") || authority.filter({ $0 == ":" }).count <= 1 else { throw refuse("write an IPv6 address in brackets") }
        guard port.isEmpty || UInt16(port).map({ $0 > 0 }) == true else { throw refuse("\"\(port)\" is no port (1 to 65535)") }
        base = scheme + rest
        description = base
        unixSocket = nil
    }

    public var isEncrypted: Bool { base.hasPrefix("https://") }
}

/// Why a text is no server's address.
public struct InvalidServerAddress: Error, Equatable, Sendable, CustomStringConvertible {
    public var reason: String

    public var description: String { reason }
}
