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
        // A message to a list may have thousands of domains: they are not compared with one another.
        var places: [DomainName: Int] = [:]
        // It comes behind the content, when the recipients have been met; nil inside: to no domain that has a name.
        var redirection: DomainName??
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
                guard let domain = names.domain(ofAddress: data) else { return }
                if let last = found.domains.last, last == domain {
                    found.counts[found.counts.count - 1] += 1
                } else if let place = places[domain] {
                    found.counts[place] += 1
                } else {
                    places[domain] = found.domains.count
                    found.domains.append(domain)
                    found.counts.append(1)
                }
            case QueueRecordType.redirection: redirection = .some(names.domain(ofAddress: data))
            default: break
            }
        }
        guard hasTime else { throw .corrupt("it has no arrival time") }
        if let redirection, found.recipients > 0 {
            // Where the mail waits is where it goes: Postfix's own `add` names that domain, too.
            found.recipients = 1
            found.domains = redirection.map { [$0] } ?? []
            found.counts = found.domains.map { _ in 1 }
        }
        self = found
    }

    private init() {}

    func message(_ id: QueueID, in folder: QueueFolder) -> QueuedMessage {
        QueuedMessage(id: id, place: folder.place, arrival: arrival, size: size, domains: domains)
    }
}

/// Domain names met before: most mail goes to few destinations, and checking a name costs more than finding it.
final class DomainNameCache: Sendable {
    private static let limit = 20_000
    /// What is longer is looked up each time: memory is for names, and not for what somebody thought up.
    private static let maximumLength = 255
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
        guard text.utf8.count <= Self.maximumLength else { return DomainName(text) }
        return names.withLock { names in
            if let known = names[text] { return known }
            if names.count >= Self.limit { names.removeAll(keepingCapacity: true) }
            let domain = DomainName(text)
            names[text] = .some(domain)
            return domain
        }
    }
}
