// Who may transmit next: a bounded number of slots, shared fairly among the next hops.

/// Work waiting in a lane per key (a next hop), each first come, first served; the lanes take turns.
struct DeliveryLanes<Key: Hashable & Sendable, Work: Sendable>: Sendable {
    private struct Lane: Sendable {
        var waiting: [Work] = []
        var taken = 0
        var running = 0
        var isInTurn = false

        var hasWork: Bool { taken < waiting.count }
    }

    /// Next hops are provisioned, so they are few; this only bounds what years of changed next hops leave behind.
    private static var maximumKnown: Int { 100_000 }

    let total: Int
    /// One key gets at most half of all slots, so that one dead site cannot take them all.
    let perKey: Int
    /// A key that nobody has answered for lately gets a tenth: a site that takes connections and never says a word keeps each slot for
    /// minutes, and a few such sites together must not hold up all others.
    let perStranger: Int
    private(set) var running = 0
    private var lanes: [Key: Lane] = [:]
    /// The keys that have work and a free slot, each once, in the order of their turns.
    private var turns: [Key] = []
    private var nextTurn = 0
    /// The keys whose last piece of work was answered.
    private var known: Set<Key> = []

    init(total: Int) {
        self.total = max(1, total)
        perKey = max(1, self.total / 2)
        perStranger = max(1, self.total / 10)
    }

    mutating func add(_ work: Work, to key: Key) {
        lanes[key, default: Lane()].waiting.append(work)
        giveTurn(to: key)
    }

    /// The next piece of work, with a slot taken for it; nil when there is no slot or no work.
    mutating func next() -> (key: Key, work: Work)? {
        guard running < total else { return nil }
        while nextTurn < turns.count {
            let key = turns[nextTurn]
            nextTurn += 1
            if nextTurn >= 64, nextTurn * 2 >= turns.count {
                turns.removeFirst(nextTurn)
                nextTurn = 0
            }
            lanes[key]?.isInTurn = false
            guard var lane = lanes[key], lane.hasWork, lane.running < slots(of: key) else { continue }
            let work = lane.waiting[lane.taken]
            lane.taken += 1
            if lane.taken == lane.waiting.count || lane.taken >= 1_024 {
                lane.waiting.removeFirst(lane.taken)
                lane.taken = 0
            }
            lane.running += 1
            running += 1
            lanes[key] = lane
            giveTurn(to: key)
            return (key, work)
        }
        return nil
    }

    /// Gives a slot back. `answered` tells whether the site is known to be up now.
    mutating func finished(_ key: Key, answered: Bool) {
        if !answered {
            known.remove(key)
        } else if known.insert(key).inserted, known.count > Self.maximumKnown {
            known = [key]
        }
        guard var lane = lanes[key], lane.running > 0 else { return }
        lane.running -= 1
        running -= 1
        lanes[key] = lane.running == 0 && !lane.hasWork ? nil : lane
        giveTurn(to: key)
    }

    private mutating func giveTurn(to key: Key) {
        guard var lane = lanes[key], !lane.isInTurn, lane.hasWork, lane.running < slots(of: key) else { return }
        lane.isInTurn = true
        lanes[key] = lane
        turns.append(key)
    }

    private func slots(of key: Key) -> Int { known.contains(key) ? perKey : perStranger }
}
