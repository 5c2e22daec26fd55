// Which next hops were found dead, and until when they are left alone.

import FlushCore

/// The next hops that could not be reached lately.
struct SiteStates: Sendable {
    private struct Site: Sendable {
        var suspendedUntil: Timestamp?
        /// When it was found dead.
        var suspendedAt: Timestamp?
        var reason = ""
        var lastReached: Timestamp?
    }

    /// Next hops are provisioned, so they are few; this only bounds what years of changed next hops leave behind.
    static let maximumSites = 100_000

    private var sites: [NextHop: Site] = [:]

    /// Why mail for this next hop is not tried now; nil when it is.
    func suspension(of hop: NextHop, at now: Timestamp) -> (until: Timestamp, reason: String)? {
        guard let site = sites[hop], let until = site.suspendedUntil, until > now else { return nil }
        // The clock was set back: how long ago it was is not known.
        guard let since = site.suspendedAt, since <= now else { return nil }
        return (until, site.reason)
    }

    /// It was reached, and has not been found dead since.
    func isAnswering(_ hop: NextHop) -> Bool { sites[hop].map { $0.lastReached != nil && $0.suspendedUntil == nil } ?? false }

    mutating func reached(_ hop: NextHop, at now: Timestamp) {
        makeRoom()
        sites[hop] = Site(lastReached: now)
    }

    /// A transmission that began at `start` found nobody. A site that answered somebody else meanwhile is not dead.
    mutating func failed(_ hop: NextHop, startedAt start: Timestamp, now: Timestamp, for duration: Duration, reason: String) {
        if let reached = sites[hop]?.lastReached, reached >= start { return }
        makeRoom()
        sites[hop, default: Site()].suspendedAt = now
        sites[hop, default: Site()].suspendedUntil = now + duration
        sites[hop, default: Site()].reason = reason
    }

    /// Lets mail for this next hop be tried at once.
    mutating func endSuspension(of hop: NextHop) {
        sites[hop]?.suspendedAt = nil
        sites[hop]?.suspendedUntil = nil
    }

    private mutating func makeRoom() { if sites.count >= Self.maximumSites { sites.removeAll() } }
}
