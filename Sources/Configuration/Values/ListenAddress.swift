// Checks where a service is to listen, so that a mistake is told with its line and not by the first bind.

enum ListenAddress {
    /// `sun_path` less its NUL.
    static let maximumPathLength = 107

    static func check(_ text: String) throws(InvalidValue) {
        if text.hasPrefix("unix:") {
            let path = text.dropFirst(5)
            guard path.hasPrefix("/") else { throw InvalidValue("\(quoted(text)): the path of a UNIX socket must begin with '/'") }
            guard path.utf8.count <= maximumPathLength else {
                throw InvalidValue("\(quoted(text)): the path of a UNIX socket is at most \(maximumPathLength) bytes long")
            }
            return
        }
        guard let colon = text.lastIndex(of: ":") else { throw form(text) }
        var host = text[..<colon]
        let port = text[text.index(after: colon)...]
        guard port.utf8.count <= 5, !port.isEmpty, port.utf8.allSatisfy({ (0x30...0x39).contains($0) }), UInt16(port) != nil else {
            throw InvalidValue("\(quoted(text)): the port must be a number from 0 to 65535")
        }
        if host == "*" || host.isEmpty { throw InvalidValue("\(quoted(text)): every address is written 0.0.0.0:\(port) or [::]:\(port)") }
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        // [fe80::1%eth0]:25: whether the interface is there only the bind can tell.
        let zone = host.firstIndex(of: "%") ?? host.endIndex
        guard IPAddress(host[..<zone]) != nil, isBracketed == host.contains(":"), isBracketed || zone == host.endIndex else { throw form(text) }
    }

    private static func form(_ text: String) -> InvalidValue {
        InvalidValue("\(quoted(text)) is none of address:port, [IPv6 address]:port and unix:/path")
    }
}
