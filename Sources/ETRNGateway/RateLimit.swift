// How often one client may ask: counts for the time unit that runs, all forgotten at its end.

import FlushCore
import SMTPServer

/// Counts requests per client, in memory that is bounded.
struct RateLimit {
    /// Clients counted in one time unit, 4 MB of them; when so many ask, further ones wait for the next unit.
    static let maximumClients = 100_000

    let limit: Int
    let unit: Duration
    private var counts: [ClientKey: Int] = [:]
    private var started: Timestamp?

    /// - Parameter limit: 0 for none.
    init(limit: Int, unit: Duration) {
        self.limit = limit
        self.unit = unit
    }

    /// Counts a request; false when it is one too many. A clock that was set back begins a new unit.
    mutating func admit(_ client: ClientKey, at now: Timestamp) -> Bool {
        guard limit > 0 else { return true }
        if started.map({ now < $0 || now - $0 >= unit }) ?? true {
            started = now
            counts.removeAll(keepingCapacity: counts.count < Self.maximumClients / 10)
        }
        let count = counts[client] ?? 0
        guard count < limit, count > 0 || counts.count < Self.maximumClients else { return false }
        counts[client] = count + 1
        return true
    }
}
