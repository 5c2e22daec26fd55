// What the argument of ETRN names (RFC 1985, section 5).

import FlushCore

/// Whose mail a request means.
public struct ETRNTarget: Sendable, Hashable {
    public var domain: DomainName
    /// Every domain below it too.
    public var subdomains: Bool

    public init(_ domain: DomainName, subdomains: Bool = false) {
        self.domain = domain
        self.subdomains = subdomains
    }

    /// Reads `domain` or `@domain`. Nil for what is no domain name in ASCII: an address literal, a trailing dot, a U-label.
    init?(_ text: some StringProtocol) {
        let subdomains = text.utf8.first == UInt8(ascii: "@")
        // By bytes: `@` and a mark that is joined to it are one character, and would be dropped as one.
        let name = String(decoding: text.utf8.dropFirst(subdomains ? 1 : 0), as: UTF8.self)
        guard name.utf8.allSatisfy({ $0 < 0x80 }), let domain = DomainName(name) else { return nil }
        self.init(domain, subdomains: subdomains)
    }
}

/// What an argument means.
enum ETRNNode: Equatable {
    case target(ETRNTarget)
    /// `#name`, as `etrn_queues` has it or not.
    case queue(ETRNQueues.Name)

    /// Nil when the argument is none of `domain`, `@domain` and `#name`.
    init?(_ argument: String) {
        if argument.utf8.first == UInt8(ascii: "#") {
            guard let name = ETRNQueues.Name(Substring(argument.utf8.dropFirst())) else { return nil }
            self = .queue(name)
        } else {
            guard let target = ETRNTarget(argument) else { return nil }
            self = .target(target)
        }
    }
}
