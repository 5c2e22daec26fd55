// The domains that a message still waits for: what a scan wants of a queue file.

import FlushCore
import Synchronization

/// The pending recipients of a message, counted by domain.
struct PendingDomains: Sendable, Equatable {
    var arrival = Timestamp(seconds: 0)
    var size = 0
    /// In the order in which they were met.
    var domains: [DomainName] = []
    /// Pending recipients in each of `domains`.
    var counts: [Int] = []
    /// All pending recipients, those in no domain that has a name included.
    var recipients = 0

    init(_ records: inout QueueRecords, names: DomainNameCache) throws(QueueFileError) {
        var found = PendingDomains()
        var hasTime = false
        try records.walk { type, data in
            switch type {
            case QueueRecordType.size: found.size = QueueSizeRecord(data)?.contentBytes ?? found.size
            case QueueRecordType.time:
                if let time = QueueFile.time(data) {
                    found.arrival = time
                    hasTime = true
                }
            case QueueRecordType.pendingRecipient:
                found.recipients += 1
                if let domain = names.domain(ofAddress: data) { found.add(domain) }
            default: break
            }
        }
        guard hasTime else { throw .corrupt("it has no arrival time") }
        self = found
    }

    private init() {}

    private mutating func add(_ domain: DomainName) {
        if let index = domains.lastIndex(of: domain) {
            counts[index] += 1
        } else {
            domains.append(domain)
            counts.append(1)
        }
    }

    func message(_ id: QueueID, in folder: QueueFolder) -> QueuedMessage {
        QueuedMessage(id: id, place: folder.place, arrival: arrival, size: size, domains: domains)
    }
}

/// Domain names met before: most mail goes to few destinations, and checking a name costs more than finding it.
final class DomainNameCache: Sendable {
    private static let limit = 20_000
    private let names = Mutex<[String: DomainName?]>([:])

    /// The domain right of the last `@`; nil when there is none, or what is there is no domain name.
    func domain(ofAddress address: UnsafeRawBufferPointer) -> DomainName? {
        guard let at = address.lastIndex(of: UInt8(ascii: "@")) else { return nil }
        return domain(String(decoding: UnsafeRawBufferPointer(rebasing: address[(at + 1)...]), as: UTF8.self))
    }

    func domain(ofAddress address: String) -> DomainName? {
        guard let at = address.utf8.lastIndex(of: UInt8(ascii: "@")) else { return nil }
        return domain(String(address[address.utf8.index(after: at)...]))
    }

    private func domain(_ text: String) -> DomainName? {
        names.withLock { names in
            if let known = names[text] { return known }
            if names.count >= Self.limit { names.removeAll(keepingCapacity: true) }
            let domain = DomainName(text)
            names[text] = .some(domain)
            return domain
        }
    }
}
