// The records of all destinations: which messages wait for whom. Memory only; the queue corrects it.

/// Knows for each destination the messages that wait for it, and for each message its destinations.
///
/// Adding and removing cost O(1), a page costs a page, whatever the rest holds: it is made for a million messages over a hundred
/// thousand domains. A message waits for a domain as long as it has a pending recipient there, on hold and in delivery included.
struct DeferredIndex {
    /// A message waiting for a domain.
    private struct Entry {
        var message: Int32
        /// The domain's number; `MessageSlot.none` while the entry is free.
        var domain: Int32
        /// The message's next entry, or the next free one.
        var next: Int32
        /// Where its line stands in the domain's record.
        var position: Int32
    }

    private(set) var messages = MessageTable()
    /// By number. A forgotten domain's record stays, empty, until its number is used again.
    private(set) var records: [DomainRecord] = []
    private(set) var bytes = 0
    /// How often something has been recorded, what was deferred again included.
    private(set) var recordings: UInt64 = 0

    private var entries: [Entry] = []
    private var firstFreeEntry = MessageSlot.none
    private var numbers: [DomainName: Int32] = [:]
    private var freeRecords: [Int32] = []
    private var byName = OrderedNumbers()
    /// By the name read backwards: there a domain's subdomains follow one another.
    private var byReversedName = OrderedNumbers()
    private var scanMark: UInt8 = 0
    /// What left while a scan ran: the scan may still tell of it. Nil while none runs.
    private var leftDuringScan: Set<QueueID>?

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
    private mutating func apply(_ message: QueuedMessage, isRecording: Bool, at time: Timestamp) -> Correction {
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
        for entry in entryNumbers(of: slot) where !wanted.contains(entries[Int(entry)].domain) {
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
        let meant = entryNumbers(of: slot).filter { isMeant(name(entries[Int($0)].domain)) }
        for entry in meant { unlink(entry, of: slot, at: time) }
        guard messages[slot].firstEntry == MessageSlot.none else { return !meant.isEmpty }
        leftDuringScan?.insert(id)
        drop(slot, at: time)
        return true
    }

    private mutating func drop(_ slot: Int32, at time: Timestamp) {
        for entry in entryNumbers(of: slot) { unlink(entry, of: slot, at: time) }
        if messages[slot].isDescribed { bytes -= Int(messages[slot].size) }
        messages.remove(slot)
    }

    /// Corrects arrival and size, which an `add` does not know, here and in the sums.
    private mutating func describe(_ slot: Int32, arrival: UInt32, size: UInt32) {
        let old = messages[slot]
        guard !old.isDescribed || old.size != size || old.arrival != arrival else { return }
        bytes += Int(size) - (old.isDescribed ? Int(old.size) : 0)
        messages.describe(slot, arrival: arrival, size: size)
        for entry in entryNumbers(of: slot) {
            let domain = Int(entries[Int(entry)].domain)
            records[domain].bytes += Int(size) - Int(old.size)
            records[domain].oldestArrival = nil
        }
    }

    // MARK: Entries

    private func entryNumbers(of slot: Int32) -> [Int32] {
        var found: [Int32] = []
        var entry = messages[slot].firstEntry
        while entry != MessageSlot.none {
            found.append(entry)
            entry = entries[Int(entry)].next
        }
        return found
    }

    /// Returns whether the message was not yet recorded there.
    private mutating func link(_ slot: Int32, to domain: Int32, isRecording: Bool) -> Bool {
        if isRecording { recordings += 1 }
        var entry = messages[slot].firstEntry
        while entry != MessageSlot.none {
            if entries[Int(entry)].domain == domain {
                if isRecording { records[Int(domain)].lastRecorded = recordings }
                return false
            }
            entry = entries[Int(entry)].next
        }
        if !isRecording { recordings += 1 }
        let number = newEntry(Entry(message: slot, domain: domain, next: messages[slot].firstEntry, position: 0))
        messages[slot].firstEntry = number
        if records[Int(domain)].messages == 0 { waitingDomainCount += 1 }
        entries[Int(number)].position = Int32(records[Int(domain)].append(entry: number, arrival: messages[slot].arrival))
        records[Int(domain)].bytes += Int(messages[slot].size)
        records[Int(domain)].lastRecorded = recordings
        return true
    }

    private mutating func unlink(_ entry: Int32, of slot: Int32, at time: Timestamp) {
        let gone = entries[Int(entry)]
        if messages[slot].firstEntry == entry {
            messages[slot].firstEntry = gone.next
        } else {
            var before = messages[slot].firstEntry
            while before != MessageSlot.none, entries[Int(before)].next != entry { before = entries[Int(before)].next }
            if before != MessageSlot.none { entries[Int(before)].next = gone.next }
        }
        let domain = Int(gone.domain)
        records[domain].bytes -= Int(messages[slot].size)
        records[domain].removeLine(at: Int(gone.position), arrival: messages[slot].arrival, time: time)
        if records[domain].messages == 0 { waitingDomainCount -= 1 }
        if records[domain].wantsCompacting {
            records[domain].compact()
            for (position, line) in records[domain].lines.enumerated() { entries[Int(line.entry)].position = Int32(position) }
        }
        entries[Int(entry)] = Entry(message: MessageSlot.none, domain: MessageSlot.none, next: firstFreeEntry, position: 0)
        firstFreeEntry = entry
    }

    private mutating func newEntry(_ entry: Entry) -> Int32 {
        guard firstFreeEntry != MessageSlot.none else {
            entries.append(entry)
            return Int32(entries.count - 1)
        }
        let number = firstFreeEntry
        firstFreeEntry = entries[Int(number)].next
        entries[Int(number)] = entry
        return number
    }
}

// MARK: - Domains

extension DeferredIndex {
    func number(of domain: DomainName) -> Int32? { numbers[domain] }

    func record(_ domain: DomainName) -> DomainRecord? { numbers[domain].map { records[Int($0)] } }

    mutating func updateRecord(of domain: DomainName, _ body: (inout DomainRecord) -> Void) {
        guard let number = numbers[domain] else { return }
        body(&records[Int(number)])
    }

    /// Keeps a domain listed while nothing waits for it, or no longer.
    mutating func pin(_ domain: DomainName, _ isPinned: Bool, at time: Timestamp) {
        if isPinned {
            let number = number(of: domain, at: time)
            records[Int(number)].isPinned = true
        } else if let number = numbers[domain] {
            records[Int(number)].isPinned = false
            forget(domain)
        }
    }

    /// Drops an empty domain's record.
    mutating func forget(_ domain: DomainName) {
        guard let number = numbers[domain], records[Int(number)].messages == 0, !records[Int(number)].isPinned else { return }
        byName.remove(at: byName.lowerBound { name($0) < domain })
        byReversedName.remove(at: byReversedName.lowerBound { Self.readsBefore(name($0), domain.description) })
        numbers[domain] = nil
        freeRecords.append(number)
    }

    /// Domains in the order of their names, from the first after `domain`, all beginning with `prefix`, until `visit` returns false.
    func visitDomains(after domain: DomainName?, prefix: String, _ visit: (DomainRecord) -> Bool) {
        var position = byName.lowerBound { number in
            let name = name(number)
            if let domain, name <= domain { return true }
            return name.description < prefix
        }
        while let number = byName.next(&position) {
            let record = records[Int(number)]
            guard record.name.description.hasPrefix(prefix), visit(record) else { return }
        }
    }

    /// The records that a selector means: the domain's and, if asked for, its subdomains'.
    func records(of domain: DomainName, subdomains: Bool) -> [DomainRecord] {
        var found = record(domain).map { [$0] } ?? []
        guard subdomains else { return found }
        let suffix = "." + domain.description
        var position = byReversedName.lowerBound { Self.readsBefore(name($0), suffix) }
        while let number = byReversedName.next(&position), name(number).description.hasSuffix(suffix) { found.append(records[Int(number)]) }
        return found
    }

    private mutating func number(of domain: DomainName, at time: Timestamp) -> Int32 {
        if let number = numbers[domain] { return number }
        let record = DomainRecord(name: domain, at: time)
        let number: Int32
        if let reused = freeRecords.popLast() {
            number = reused
            records[Int(number)] = record
        } else {
            number = Int32(records.count)
            records.append(record)
        }
        numbers[domain] = number
        byName.insert(number, at: byName.lowerBound { name($0) < domain })
        byReversedName.insert(number, at: byReversedName.lowerBound { Self.readsBefore(name($0), domain.description) })
        return number
    }

    private func name(_ number: Int32) -> DomainName { records[Int(number)].name }

    private static func readsBefore(_ name: DomainName, _ text: String) -> Bool {
        name.description.utf8.reversed().lexicographicallyPrecedes(text.utf8.reversed())
    }

    fileprivate static func seconds(_ time: Timestamp) -> UInt32 { UInt32(clamping: time.seconds) }
}

// MARK: - Messages

extension DeferredIndex {
    /// The messages that a flush means, as they are recorded at this moment.
    struct Snapshot: Equatable {
        var ids: [QueueID] = []
        var bytes = 0
        var oldestArrival: Timestamp?
    }

    func place(of id: QueueID) -> MessagePlace? { messages.find(id).map { messages[$0].place } }

    /// The domains that a message is recorded for.
    func domains(of id: QueueID) -> [DomainName] {
        messages.find(id).map { entryNumbers(of: $0).map { name(entries[Int($0)].domain) } } ?? []
    }

    func snapshot(of selector: FlushSelector) -> Snapshot {
        var snapshot = Snapshot()
        var oldest = UInt32.max
        func take(_ slot: Int32) {
            snapshot.ids.append(messages.id(of: slot))
            snapshot.bytes += Int(messages[slot].size)
            oldest = min(oldest, messages[slot].arrival)
        }
        switch selector {
        case .message(let id):
            if let slot = messages.find(id) { take(slot) }
        case .everything:
            for number in messages.slots.indices where !messages.slots[number].isFree { take(Int32(number)) }
        case .domain(let domain, let subdomains):
            let records = records(of: domain, subdomains: subdomains)
            var seen = Set<Int32>()
            for record in records {
                for line in record.lines where line.entry != DomainRecord.Line.hole {
                    let slot = entries[Int(line.entry)].message
                    // A message may wait for several of the domains.
                    if records.count == 1 || seen.insert(slot).inserted { take(slot) }
                }
            }
        }
        if !snapshot.ids.isEmpty { snapshot.oldestArrival = Timestamp(seconds: Int64(oldest)) }
        return snapshot
    }

    /// When something was last recorded for what a selector means, as a count of recordings.
    func lastRecorded(for selector: FlushSelector) -> UInt64 {
        switch selector {
        case .everything: recordings
        case .domain(let domain, let subdomains): records(of: domain, subdomains: subdomains).map(\.lastRecorded).max() ?? 0
        case .message(let id):
            messages.find(id).map { slot in
                entryNumbers(of: slot).map { records[Int(entries[Int($0)].domain)].lastRecorded }.max() ?? 0
            } ?? 0
        }
    }

    /// A page of a domain's messages in the order in which they were recorded, and the cursor of the next page.
    func page(of domain: DomainName, after cursor: UInt32?, limit: Int) -> (ids: [QueueID], next: UInt32?) {
        guard let record = record(domain) else { return ([], nil) }
        var ids: [QueueID] = []
        var last: UInt32?
        var position = record.position(after: cursor)
        while position < record.lines.count {
            let line = record.lines[position]
            position += 1
            guard line.entry != DomainRecord.Line.hole else { continue }
            guard ids.count < limit else { return (ids, last) }
            ids.append(messages.id(of: entries[Int(line.entry)].message))
            last = line.sequence
        }
        return (ids, nil)
    }

    /// The arrival of a domain's oldest message; looked up once after the oldest has left.
    mutating func oldestArrival(of domain: DomainName) -> Timestamp? {
        guard let number = numbers[domain], records[Int(number)].messages > 0 else { return nil }
        if let known = records[Int(number)].oldestArrival { return Timestamp(seconds: Int64(known)) }
        let oldest = arrivals(in: records[Int(number)]).min()
        records[Int(number)].oldestArrival = oldest
        return oldest.map { Timestamp(seconds: Int64($0)) }
    }

    /// The arrivals of a record's messages in seconds since 1970.
    func arrivals(in record: DomainRecord) -> some Sequence<UInt32> {
        record.lines.lazy.filter { $0.entry != DomainRecord.Line.hole }.map { messages[entries[Int($0.entry)].message].arrival }
    }

    /// The arrival of the oldest message of all; looked up once after the oldest has left.
    mutating func oldestArrival() -> Timestamp? { messages.oldestArrival().map { Timestamp(seconds: Int64($0)) } }
}

// MARK: - Scans

extension DeferredIndex {
    /// More than this leaves during one scan only in a storm; then the scan's word is taken and the next one corrects it.
    private static let maximumLeftDuringScan = 200_000

    mutating func beginScan() {
        // 0 is what no message keeps: a wrap to it would take old marks for new ones.
        scanMark = scanMark == UInt8.max ? 1 : scanMark + 1
        leftDuringScan = []
    }

    /// Takes a scan's word for a message of which nothing has been heard since the scan began: events are newer than what it read.
    mutating func scanned(_ message: QueuedMessage, at time: Timestamp) -> Correction {
        if let left = leftDuringScan {
            if left.contains(message.id) { return .none }
            if left.count > Self.maximumLeftDuringScan { leftDuringScan = [] }
        }
        if let slot = messages.find(message.id), messages[slot].scanMark == scanMark {
            if !messages[slot].isDescribed {
                describe(slot, arrival: Self.seconds(message.arrival), size: UInt32(clamping: message.size))
            }
            return .none
        }
        return apply(message, isRecording: false, at: time)
    }

    /// Drops what the scan did not find, a slice of `limit` slots at a time. Returns what it dropped and where to go on; nil at the end.
    mutating func sweep(from start: Int, limit: Int, at time: Timestamp) -> (dropped: [(QueueID, [DomainName])], next: Int?) {
        let end = min(start + limit, messages.slots.count)
        var dropped: [(QueueID, [DomainName])] = []
        for number in start..<end where !messages.slots[number].isFree && messages.slots[number].scanMark != scanMark {
            let id = messages.id(of: Int32(number))
            dropped.append((id, domains(of: id)))
            drop(Int32(number), at: time)
        }
        return (dropped, end < messages.slots.count ? end : nil)
    }

    mutating func endScan() { leftDuringScan = nil }
}
