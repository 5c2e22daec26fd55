// The index by destination: numbers, records, and both orders of names.

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
    func visitDomains(after domain: DomainName?, prefix: String, _ visit: (Int32) -> Bool) {
        var position = byName.lowerBound { number in
            let name = name(number)
            if let domain, name <= domain { return true }
            return name.description < prefix
        }
        while let number = byName.next(&position) {
            guard name(number).description.hasPrefix(prefix), visit(number) else { return }
        }
    }

    /// The records that a selector means: the domain's and, if asked for, its subdomains'.
    func records(of domain: DomainName, subdomains: Bool) -> [DomainRecord] {
        numbers(of: domain, subdomains: subdomains).map { records[Int($0)] }
    }

    func numbers(of domain: DomainName, subdomains: Bool) -> [Int32] {
        let own = numbers[domain].map { [$0] } ?? []
        return subdomains ? own + numbers(below: domain) : own
    }

    private func numbers(below domain: DomainName) -> [Int32] {
        let suffix = "." + domain.description
        var found: [Int32] = []
        var position = byReversedName.lowerBound { Self.readsBefore(name($0), suffix) }
        while let number = byReversedName.next(&position), name(number).description.hasSuffix(suffix) { found.append(number) }
        return found
    }

    mutating func number(of domain: DomainName, at time: Timestamp) -> Int32 {
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

    func name(_ number: Int32) -> DomainName { records[Int(number)].name }

    private static func readsBefore(_ name: DomainName, _ text: String) -> Bool {
        name.description.utf8.reversed().lexicographicallyPrecedes(text.utf8.reversed())
    }

    static func seconds(_ time: Timestamp) -> UInt32 { UInt32(clamping: time.seconds) }
}
