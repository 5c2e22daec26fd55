// The records of all destinations: which messages wait for whom. Memory only; the queue corrects it.

/// Knows for each destination the messages that wait for it, and for each message its destinations.
///
/// Adding and removing cost O(1), a page costs a page, whatever the rest holds: it is made for a million messages over a hundred
/// thousand domains. A message waits for a domain as long as it has a pending recipient there, on hold and in delivery included.
struct DeferredIndex {
    /// A message waiting for a domain.
    struct Entry {
        var message: Int32
        /// The domain's number; `MessageSlot.none` while the entry is free.
        var domain: Int32
        /// The message's next entry, or the next free one.
        var next: Int32
        /// Where its line stands in the domain's record.
        var position: Int32
    }

    var messages = MessageTable()
    /// By number. A forgotten domain's record stays, empty, until its number is used again.
    var records: [DomainRecord] = []
    private(set) var bytes = 0
    /// How often something has been recorded, what was deferred again included.
    private(set) var recordings: UInt64 = 0

    var entries = Slab<Entry>()
    private var firstFreeEntry = MessageSlot.none
    var numbers: [DomainName: Int32] = [:]
    var freeRecords: [Int32] = []
    var byName = OrderedNumbers()
    /// By the name read backwards: there a domain's subdomains follow one another.
    var byReversedName = OrderedNumbers()
    var scanMark: UInt8 = 0
    /// What left while a scan ran: the scan may still tell of it. Nil while none runs.
    var leftDuringScan: Set<QueueID>?

    var messageCount: Int { messages.count }
    var domainCount: Int { numbers.count }
    /// Domains with mail waiting.
    private(set) var waitingDomainCount = 0

    // MARK: Recording

    /// Records what a delivery agent tells: the message waits for the domain. Returns whether that was news.
    @discardableResult
    mutating func add(_ id: QueueID, to domain: DomainName, at time: Timestamp) -> Bool {
        leftDuringScan?.remove(id)
        let message =
            messages.find(id)
            ?? messages.insert(id, arrival: Self.seconds(time), size: 0, place: .deferred, isDescribed: false, scanMark: scanMark)
        messages[message].scanMark = scanMark
        messages[message].place = .deferred
        return link(message, to: number(of: domain, at: time), isRecording: true)
    }

    /// Makes the record say what the queue says of a message. Returns what it corrected.
    @discardableResult
    mutating func update(_ message: QueuedMessage, at time: Timestamp) -> Correction {
        leftDuringScan?.remove(message.id)
        return apply(message, isRecording: message.place == .deferred, at: time)
    }

    /// How the record of one message differed.
    enum Correction: Equatable { case none, added, changed }

    /// - Parameter isRecording: it was deferred just now (again); a move into delivery and a scan's word are no recording.
    mutating func apply(_ message: QueuedMessage, isRecording: Bool, at time: Timestamp) -> Correction {
        guard !message.domains.isEmpty else { return remove(message.id, at: time) ? .changed : .none }
        let arrival = Self.seconds(message.arrival)
        let size = UInt32(clamping: message.size)
        let slot: Int32
        var correction = Correction.none
        if let known = messages.find(message.id) {
            slot = known
            describe(known, arrival: arrival, size: size)
            messages[slot].place = message.place
            messages[slot].scanMark = scanMark
        } else {
            slot = messages.insert(
                message.id, arrival: arrival, size: size, place: message.place, isDescribed: true, scanMark: scanMark)
            bytes += Int(size)
            correction = .added
        }
        let wanted = message.domains.map { number(of: $0, at: time) }
        for entry in entryNumbers(of: slot) where !wanted.contains(entries[entry].domain) {
            unlink(entry, of: slot, at: time)
            if correction == .none { correction = .changed }
        }
        for domain in wanted where link(slot, to: domain, isRecording: isRecording) {
            if correction == .none { correction = .changed }
        }
        return correction
    }

    /// Forgets a message. Returns whether it was known.
    @discardableResult
    mutating func remove(_ id: QueueID, at time: Timestamp) -> Bool {
        leftDuringScan?.insert(id)
        guard let slot = messages.find(id) else { return false }
        drop(slot, at: time)
        return true
    }

    /// Forgets that a message waits for the domains that `isMeant` names, and the message itself when it waits for no other.
    /// Returns whether anything was forgotten.
    @discardableResult
    mutating func remove(_ id: QueueID, from isMeant: (DomainName) -> Bool, at time: Timestamp) -> Bool {
        guard let slot = messages.find(id) else { return false }
        let meant = entryNumbers(of: slot).filter { isMeant(name(entries[$0].domain)) }
        for entry in meant { unlink(entry, of: slot, at: time) }
        guard messages[slot].firstEntry == MessageSlot.none else { return !meant.isEmpty }
        leftDuringScan?.insert(id)
        drop(slot, at: time)
        return true
    }

    mutating func drop(_ slot: Int32, at time: Timestamp) {
        for entry in entryNumbers(of: slot) { unlink(entry, of: slot, at: time) }
        if messages[slot].isDescribed { bytes -= Int(messages[slot].size) }
        messages.remove(slot)
    }

    /// Corrects arrival and size, which an `add` does not know, here and in the sums.
    mutating func describe(_ slot: Int32, arrival: UInt32, size: UInt32) {
        let old = messages[slot]
        guard !old.isDescribed || old.size != size || old.arrival != arrival else { return }
        bytes += Int(size) - (old.isDescribed ? Int(old.size) : 0)
        messages.describe(slot, arrival: arrival, size: size)
        for entry in entryNumbers(of: slot) {
            let domain = Int(entries[entry].domain)
            records[domain].bytes += Int(size) - Int(old.size)
            records[domain].oldestArrival = nil
        }
    }

    // MARK: Entries

    func entryNumbers(of slot: Int32) -> [Int32] {
        var found: [Int32] = []
        var entry = messages[slot].firstEntry
        while entry != MessageSlot.none {
            found.append(entry)
            entry = entries[entry].next
        }
        return found
    }

    /// Returns whether the message was not yet recorded there.
    private mutating func link(_ slot: Int32, to domain: Int32, isRecording: Bool) -> Bool {
        if isRecording { recordings += 1 }
        var entry = messages[slot].firstEntry
        while entry != MessageSlot.none {
            if entries[entry].domain == domain {
                if isRecording { records[Int(domain)].lastRecorded = recordings }
                return false
            }
            entry = entries[entry].next
        }
        if !isRecording { recordings += 1 }
        let number = newEntry(Entry(message: slot, domain: domain, next: messages[slot].firstEntry, position: 0))
        messages[slot].firstEntry = number
        if records[Int(domain)].messages == 0 { waitingDomainCount += 1 }
        entries[number].position = Int32(records[Int(domain)].append(entry: number, arrival: messages[slot].arrival))
        records[Int(domain)].bytes += Int(messages[slot].size)
        records[Int(domain)].lastRecorded = recordings
        return true
    }

    private mutating func unlink(_ entry: Int32, of slot: Int32, at time: Timestamp) {
        let gone = entries[entry]
        if messages[slot].firstEntry == entry {
            messages[slot].firstEntry = gone.next
        } else {
            var before = messages[slot].firstEntry
            while before != MessageSlot.none, entries[before].next != entry { before = entries[before].next }
            if before != MessageSlot.none { entries[before].next = gone.next }
        }
        let domain = Int(gone.domain)
        records[domain].bytes -= Int(messages[slot].size)
        records[domain].removeLine(at: Int(gone.position), arrival: messages[slot].arrival, time: time)
        if records[domain].messages == 0 { waitingDomainCount -= 1 }
        if records[domain].wantsCompacting {
            records[domain].compact()
            for (position, line) in records[domain].lines.enumerated() { entries[line.entry].position = Int32(position) }
        }
        entries[entry] = Entry(message: MessageSlot.none, domain: MessageSlot.none, next: firstFreeEntry, position: 0)
        firstFreeEntry = entry
    }

    private mutating func newEntry(_ entry: Entry) -> Int32 {
        guard firstFreeEntry != MessageSlot.none else { return entries.append(entry) }
        let number = firstFreeEntry
        firstFreeEntry = entries[number].next
        entries[number] = entry
        return number
    }
}
