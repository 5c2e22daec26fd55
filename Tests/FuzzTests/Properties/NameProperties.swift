// Names that come from outside: domains, queue IDs, next hops, what ETRN names, socket addresses.

import DispatchSockets

@testable import ETRNGateway
@testable import FlushCore
@testable import SpoolQueue

enum NameProperties {
    static func check(_ input: [UInt8]) throws {
        let text = String(decoding: input, as: UTF8.self)
        try checkDomain(text)
        try checkQueueID(text)
        try checkAddress(text)
    }

    private static func checkDomain(_ text: String) throws {
        let domain: DomainName
        do { domain = try DomainName(parsing: text) } catch { return try requirePlain(error.description, "an error") }
        let name = domain.description
        try require((1...DomainName.maximumLength).contains(name.utf8.count), "a name of \(name.utf8.count) bytes")
        for label in name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            try require((1...DomainName.maximumLabelLength).contains(label.count), "a label of \(label.count) bytes in \(name)")
            let isPlain = label.allSatisfy { byte in
                (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
            try require(isPlain && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-"), "a label that is none in \(name)")
        }
        try require(DomainName(name), equals: domain, "a name, and read again")
        try require(DomainName(name.uppercased()), equals: domain, "a name, and in upper case")
        try require(DomainName(domain.unicode), equals: domain, "a name, and read again as people see it")
        try requirePlain(domain.unicode, "a name for people")
        if let parent = domain.parent {
            try require(domain.isSubdomain(of: parent) && !parent.isSubdomain(of: domain), "\(name) and its parent \(parent)")
        }
        try require(!domain.isSubdomain(of: domain), "\(name) is below itself")
    }

    private static func checkQueueID(_ text: String) throws {
        guard let id = QueueID(text) else { return }
        try require(id.description, equals: text, "a queue ID is its text")
        if let packed = PackedQueueID(id) {
            try require(QueueID(packed), equals: id, "packed and unpacked")
            try require(packed.longNumber == nil, "a packed ID counts as a long one")
        } else {
            try require(text.utf8.count > PackedQueueID.inlineLength, "\(text) is not packed")
        }
        var maker = SpoolID()
        maker.noteExisting(id)
        let next = maker.next(at: Timestamp(seconds: 1_790_000_000))
        try require(QueueID(next.description), equals: next, "an ID of the spool's")
    }

    private static func checkAddress(_ text: String) throws {
        // A zone would be looked up among the machine's interfaces.
        guard !text.contains("%"), let address = try? SocketAddress(parsing: text) else { return }
        try require(try SocketAddress(parsing: address.description), equals: address, "an address, and read again")
    }
}

enum NextHopProperties {
    static func check(_ input: [UInt8]) throws {
        let text = String(decoding: input, as: UTF8.self)
        let hop: NextHop
        do { hop = try NextHop(parsing: text) } catch { return }
        try require(hop.port > 0 && !hop.host.isEmpty, "an impossible next hop \(hop)")
        try require(hop.description.utf8.count <= 300, "a next hop of \(hop.description.utf8.count) bytes")
        try require(hop.description.utf8.allSatisfy { (0x21...0x7e).contains($0) }, "a next hop that is not printable: \(hop)")
        try require(try NextHop(parsing: hop.description), equals: hop, "a next hop, and read again")
    }
}

enum ETRNNodeProperties {
    static func check(_ input: [UInt8]) throws {
        let text = String(decoding: input, as: UTF8.self)
        switch ETRNNode(text) {
        case .target(let target)?:
            let again = (target.subdomains ? "@" : "") + target.domain.description
            try require(ETRNNode(again), equals: .target(target), "a node, and read again")
            try require(text.utf8.allSatisfy { $0 < 0x80 }, "a node beyond ASCII")
        case .queue(let name)?: try require(ETRNNode("#\(name)"), equals: .queue(name), "a queue, and read again")
        case nil: break
        }
        let items = text.split(separator: "\n").map(String.init)
        guard let queues = try? ETRNQueues(items) else { return }
        for item in items {
            let words = item.split(separator: "=", maxSplits: 1)[0].split(separator: " ")
            guard let name = ETRNQueues.Name(words.joined(separator: " ")), let targets = queues[name] else {
                throw Violation(description: "the queue of \(item.debugDescription) is not there")
            }
            try require((1...ETRNQueues.maximumDomains).contains(targets.count), "\(targets.count) domains in one queue")
        }
    }
}
