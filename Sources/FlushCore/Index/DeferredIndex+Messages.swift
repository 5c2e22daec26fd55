// The index by message: what a flush means, pages, ages.

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
        messages.find(id).map { entryNumbers(of: $0).map { name(entries[$0].domain) } } ?? []
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
            for number in messages.numbers { take(number) }
        case .domain(let domain, let subdomains):
            let numbers = numbers(of: domain, subdomains: subdomains)
            var seen = Set<Int32>()
            for number in numbers {
                for line in records[Int(number)].lines where line.entry != DomainRecord.Line.hole {
                    let slot = entries[line.entry].message
                    // A message may wait for several of the domains.
                    if numbers.count == 1 || seen.insert(slot).inserted { take(slot) }
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
        case .domain(let domain, let subdomains):
            numbers(of: domain, subdomains: subdomains).map { records[Int($0)].lastRecorded }.max() ?? 0
        case .message(let id):
            messages.find(id).map { slot in
                entryNumbers(of: slot).map { records[Int(entries[$0].domain)].lastRecorded }.max() ?? 0
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
            ids.append(messages.id(of: entries[line.entry].message))
            last = line.sequence
        }
        return (ids, nil)
    }

    /// The arrival of a domain's oldest message; looked up once after the oldest has left.
    mutating func oldestArrival(of number: Int32) -> Timestamp? {
        guard records[Int(number)].messages > 0 else { return nil }
        if let known = records[Int(number)].oldestArrival { return Timestamp(seconds: Int64(known)) }
        let oldest = arrivals(in: records[Int(number)]).min()
        records[Int(number)].oldestArrival = oldest
        return oldest.map { Timestamp(seconds: Int64($0)) }
    }

    /// The arrivals of a record's messages in seconds since 1970.
    func arrivals(in record: DomainRecord) -> some Sequence<UInt32> {
        record.lines.lazy.filter { $0.entry != DomainRecord.Line.hole }.map { messages[entries[$0.entry].message].arrival }
    }

    /// The arrival of the oldest message of all; looked up once after the oldest has left.
    mutating func oldestArrival() -> Timestamp? { messages.oldestArrival().map { Timestamp(seconds: Int64($0)) } }
}
