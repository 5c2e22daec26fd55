// What the index keeps of one destination.

/// A destination's record: which messages wait for it, and the sums over them.
struct DomainRecord {
    /// A line of the record. Lines stay in the order in which they came; a removed one leaves a hole until the record is compacted.
    struct Line {
        /// Grows within the record and is never used twice, so that a page's cursor stays good whatever leaves meanwhile.
        var sequence: UInt32
        /// The entry's number; `Line.hole` once it has been removed.
        var entry: Int32

        static let hole: Int32 = -1
    }

    let name: DomainName
    private(set) var lines: [Line] = []
    private(set) var messages = 0
    var bytes = 0
    /// Seconds; nil when it is not known and must be looked up.
    var oldestArrival: UInt32?
    var lastReason: String?
    /// The index's count of recordings when something was last recorded here, what was deferred again included.
    var lastRecorded: UInt64 = 0
    /// When somebody last asked for its mail, or it came into being; what refresh goes by.
    var lastRead: Timestamp
    /// When it became empty; what purge goes by.
    var emptySince: Timestamp?
    /// It is listed also while nothing waits: a relay domain, or one named in `fast_flush_domains`.
    var isPinned = false
    var lastFlush: FlushID?
    /// Lines in its log file, stale ones included; what rewriting goes by.
    var loggedLines = 0

    private var nextSequence: UInt32 = 0

    init(name: DomainName, at time: Timestamp) {
        self.name = name
        lastRead = time
        emptySince = time
    }

    /// Adds a line; returns its position, good until the record is compacted.
    mutating func append(entry: Int32, arrival: UInt32) -> Int {
        if messages == 0 { oldestArrival = arrival } else { oldestArrival = oldestArrival.map { min($0, arrival) } }
        lines.append(Line(sequence: nextSequence, entry: entry))
        nextSequence &+= 1
        messages += 1
        emptySince = nil
        return lines.count - 1
    }

    mutating func removeLine(at position: Int, arrival: UInt32, time: Timestamp) {
        lines[position].entry = Line.hole
        if oldestArrival == arrival { oldestArrival = nil }
        messages -= 1
        if messages == 0 {
            lines = []
            emptySince = time
            // A record that is emptied again and again is never compacted: its sequence starts anew here.
            if nextSequence > UInt32.max / 2 { nextSequence = 0 }
        }
    }

    /// Whether so many lines are holes that compacting pays; with this a removal costs O(1) on average.
    var wantsCompacting: Bool { lines.count >= 32 && messages * 2 < lines.count }

    /// Closes the holes; entries have other positions then.
    mutating func compact() {
        lines.removeAll { $0.entry == Line.hole }
        // Four thousand million lines later the sequence starts anew; a cursor held over that moment repeats lines, and loses none.
        if nextSequence > UInt32.max / 2 {
            for position in lines.indices { lines[position].sequence = UInt32(position) }
            nextSequence = UInt32(lines.count)
        }
    }

    /// The position of the first line after `sequence`.
    func position(after sequence: UInt32?) -> Int {
        guard let sequence else { return 0 }
        var low = 0
        var high = lines.count
        while low < high {
            let middle = (low + high) / 2
            if lines[middle].sequence <= sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
