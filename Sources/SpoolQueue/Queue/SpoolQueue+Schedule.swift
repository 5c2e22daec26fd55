// When waiting messages are looked at again.

import DiskPort
import FlushCore
import HashTreeCollections
import Logging

extension SpoolQueue {
    /// How many due messages one turn of the loop looks at.
    static let duePerTurn = 500
    /// A schedule with this many stale items for each current one is built anew.
    private static let staleFactor = 4

    /// A clock that was set back by less delays nobody noticeably; the whole queue need not be looked at.
    private static let noticedStep = Duration.seconds(1)

    /// Puts a waiting message into the schedule, for its next attempt or its end of life.
    func plan(_ id: QueueID) {
        watchClock(time.now)
        guard let entry = entries[id], entry.folder != .hold else { return }
        // One whose end has passed has its time from the last try to give it up: at once would be again and again.
        if let end = endOfLife(of: entry), end < entry.next, end > time.now { entries[id]?.next = end }
        guard let next = entries[id]?.next else { return }
        if schedule.count > 1_000, schedule.count > Self.staleFactor * entries.count {
            schedule.keep { item in entries[item.id]?.next == item.time }
        }
        schedule.add(id, at: next)
        arm()
    }

    func endOfLife(of entry: Entry) -> Timestamp? {
        parameters.maximalQueueLifetime > .zero ? entry.arrival + parameters.maximalQueueLifetime : nil
    }

    func isExpired(_ entry: Entry) -> Bool { endOfLife(of: entry).map { $0 <= time.now } ?? false }

    /// Sets the alarm to the first item.
    func arm() {
        guard phase == .running, let first = schedule.first else { return }
        if let alarm, alarm.time <= first.time { return }
        alarm?.task.cancel()
        let wait = min(max(first.time - time.now, .zero), parameters.queueRunDelay)
        let task = Task { [weak self, time] in
            await time.sleep(for: wait)
            guard !Task.isCancelled else { return }
            await self?.alarmRang()
        }
        alarm = (first.time, task)
    }

    private func alarmRang() {
        alarm = nil
        guard phase == .running else { return }
        let now = time.now
        watchClock(now)
        var count = 0
        while count < Self.duePerTurn, let item = schedule.takeDue(at: now) {
            count += 1
            guard let entry = entries[item.id], entry.next == item.time, entry.activity == .idle, entry.folder != .hold else { continue }
            lookAt(item.id, entry, now: now)
        }
        pump()
        arm()
    }

    /// Nobody waits longer than the longest back-off: who would by a clock that was set back is scheduled anew.
    ///
    /// Looked at whenever something is scheduled or due: whoever is put off by the old time would else wait behind those of the new one.
    private func watchClock(_ now: Timestamp) {
        let wentBack = lastSeenTime.map { now + Self.noticedStep < $0 } ?? false
        lastSeenTime = now
        guard wentBack else { return }
        logger.warning("the clock was set back; waiting mail is scheduled anew")
        let latest = now + longestBackoff
        for id in entries.filter({ $0.value.next > latest }).keys {
            entries[id]?.next = latest
            plan(id)
        }
        schedule.keep { item in entries[item.id]?.next == item.time }
    }

    var longestBackoff: Duration { max(parameters.minimalBackoffTime, parameters.maximalBackoffTime) }

    /// A message is due: into a lane, when one of its next hops can be tried.
    private func lookAt(_ id: QueueID, _ entry: Entry, now: Timestamp) {
        let waitsForOriginal = arriving.contains(id)
        if waitsForOriginal {
            entries[id]?.next = now + parameters.minimalBackoffTime
            plan(id)
        } else if let lane = Self.dueLane(of: entry, now: now, sites, routes, parameters) {
            entries[id]?.activity = .inLine
            lanes.add(.due(id), to: lane)
        } else if isExpired(entry) || entry.isUnfinished || entry.isReport && parameters.relayhost == nil {
            entries[id]?.activity = .inLine
            lanes.add(.due(id), to: .nowhere(""))
        } else {
            // Nobody may be tried: it waits to be asked for, or for a site that is known to be dead. Memory alone; the file keeps its
            // older time, so a restart looks at it earlier.
            entries[id]?.next = now + RetrySchedule.backoff(arrival: entry.arrival, now: now, parameters: parameters)
            plan(id)
        }
    }

    /// The lane in which a due message waits; nil when none of its domains is to be tried by itself.
    private static func dueLane(
        of entry: Entry, now: Timestamp, _ sites: SiteStates, _ routes: any MailRoutes, _ parameters: SpoolParameters
    ) -> Lane? {
        if entry.isReport { return parameters.relayhost.flatMap { sites.suspension(of: $0, at: now) == nil ? .hop($0) : nil } }
        for domain in entry.domains {
            guard let route = routes.route(for: domain), !route.etrnOnly, !route.nextHop.usesMX,
                sites.suspension(of: route.nextHop, at: now) == nil
            else { continue }
            return .hop(route.nextHop)
        }
        return nil
    }

    /// The domains that the engine tries by itself.
    func ownDomains(of entry: Entry) -> [DomainName] {
        entry.domains.filter { routes.route(for: $0)?.etrnOnly == false }
    }

    /// Looks at every waiting message again, because relay domains have changed: what waited to be asked for may now be tried.
    ///
    /// Costs O(messages), all in memory and nearly all on the pool.
    public func routesChanged() async {
        let now = time.now
        let waiting = await pool.run { [entries, sites, routes, parameters] in
            entries.filter { _, entry in
                Self.mayWaitToBeAskedFor(entry, now: now) && Self.dueLane(of: entry, now: now, sites, routes, parameters) != nil
            }.map(\.key)
        }
        for start in stride(from: 0, to: waiting.count, by: Self.duePerTurn) {
            for id in waiting[start..<min(start + Self.duePerTurn, waiting.count)] {
                guard let entry = entries[id], Self.mayWaitToBeAskedFor(entry, now: now) else { continue }
                entries[id]?.next = now
                plan(id)
            }
            await Task.yield()
        }
    }

    private static func mayWaitToBeAskedFor(_ entry: Entry, now: Timestamp) -> Bool {
        entry.activity == .idle && entry.folder != .hold && entry.next > now && entry.hasPending && !entry.wasTried
    }
}
