// What the destination logs have still to be told.

/// Changes to log files that wait for the next write. Bounded: a domain with many new IDs is rewritten from the index instead.
struct LogJournal {
    enum Pending: Equatable {
        case append([QueueID])
        case rewrite
    }

    /// Beyond so many IDs in all, memory is better spent elsewhere: the index has them anyway.
    private static let maximumIDs = 50_000

    private var pending: [DomainName: Pending] = [:]
    /// IDs that wait to be appended.
    private(set) var waitingIDs = 0

    var isEmpty: Bool { pending.isEmpty }

    mutating func append(_ id: QueueID, to domain: DomainName) {
        guard case .append(var waiting)? = pending[domain] ?? .append([]) else { return }
        guard waitingIDs < Self.maximumIDs else { return rewrite(domain) }
        // Taken out first, so that the array is not copied for each ID.
        pending[domain] = nil
        waiting.append(id)
        pending[domain] = .append(waiting)
        waitingIDs += 1
    }

    mutating func rewrite(_ domain: DomainName) {
        if case .append(let waiting)? = pending[domain] { waitingIDs -= waiting.count }
        pending[domain] = .rewrite
    }

    mutating func takeAll() -> [DomainName: Pending] {
        defer {
            pending = [:]
            waitingIDs = 0
        }
        return pending
    }
}
