// The index against a naive model, and its single rules.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct DeferredIndexTests {
    let branch = Samples.domain("branch.example")
    let ship = Samples.domain("ship.example")
    let now = Timestamp(seconds: 1_800_000_000)

    @Test func recordsAMessageForADomainOnce() {
        var index = DeferredIndex()

        let first = index.add(Samples.queueID(1), to: branch, at: now)
        let second = index.add(Samples.queueID(1), to: branch, at: now)

        #expect(first && !second)
        #expect(index.snapshot(of: .domain(branch, subdomains: false)).ids == [Samples.queueID(1)])
    }

    @Test func countsWhatIsDeferredAgainAsRecorded() {
        var index = DeferredIndex()
        index.add(Samples.queueID(1), to: branch, at: now)
        index.add(Samples.queueID(2), to: ship, at: now)
        let before = index.lastRecorded(for: .domain(branch, subdomains: false))

        index.add(Samples.queueID(1), to: branch, at: now)

        #expect(index.lastRecorded(for: .domain(branch, subdomains: false)) > before)
        #expect(index.lastRecorded(for: .message(Samples.queueID(1))) > before)
        #expect(index.lastRecorded(for: .everything) == index.recordings)
        let shipsBefore = index.lastRecorded(for: .domain(ship, subdomains: false))
        index.add(Samples.queueID(1), to: branch, at: now)
        #expect(index.lastRecorded(for: .domain(ship, subdomains: false)) == shipsBefore)
    }

    @Test func aMoveIntoDeliveryIsNoRecording() {
        var index = DeferredIndex()
        index.update(message(1, branch), at: now)
        let before = index.recordings

        index.update(message(1, branch, place: .inDelivery), at: now)
        index.update(message(1, branch, place: .held), at: now)

        #expect(index.recordings == before)
        #expect(index.place(of: Samples.queueID(1)) == .held)
    }

    @Test func findsSubdomainsOnLabelBoundaries() {
        var index = DeferredIndex()
        let names = [
            "b.example", "a.b.example", "x.a.b.example", "a-b.example", "xb.example", "b.example.org", "example", "0.b.example", "_b.example",
            "c.example", "z-b.example",
        ]
        for (number, name) in names.enumerated() { index.add(Samples.queueID(number), to: Samples.domain(name), at: now) }

        let found = index.records(of: Samples.domain("b.example"), subdomains: true).map(\.name.description)

        #expect(Set(found) == ["b.example", "a.b.example", "x.a.b.example", "0.b.example"])
        #expect(found.count == 4)
        #expect(index.records(of: Samples.domain("b.example"), subdomains: false).map(\.name.description) == ["b.example"])
        // Below a domain that has no record itself.
        #expect(Set(index.records(of: Samples.domain("org"), subdomains: true).map(\.name.description)) == ["b.example.org"])
    }

    @Test func aMessageForSeveralOfTheDomainsIsMatchedOnce() {
        var index = DeferredIndex()
        index.update(message(1, Samples.domain("b.example"), Samples.domain("a.b.example"), size: 7), at: now)

        let snapshot = index.snapshot(of: .domain(Samples.domain("b.example"), subdomains: true))

        #expect(snapshot.ids == [Samples.queueID(1)])
        #expect(snapshot.bytes == 7)
    }

    @Test func pagesLoseNothingWhileMailLeaves() {
        var index = DeferredIndex()
        for number in 0..<1000 { index.add(Samples.queueID(number), to: branch, at: now) }
        var seen: [QueueID] = []
        var cursor: UInt32?
        var pages = 0
        repeat {
            let page = index.page(of: branch, after: cursor, limit: 10)
            #expect(page.ids.count <= 10)
            seen += page.ids
            cursor = page.next
            // Most of what was shown leaves, and with it come holes and compactions; new mail comes.
            for id in page.ids.dropFirst() { index.remove(id, at: now) }
            index.add(Samples.queueID(10_000 + pages), to: ship, at: now)
            pages += 1
        } while cursor != nil && pages < 1000

        #expect(seen == (0..<1000).map { Samples.queueID($0) })
        #expect(index.page(of: branch, after: nil, limit: 1000).ids.count == 100)
    }

    @Test func keepsAPinnedDomainAndForgetsAnother() {
        var index = DeferredIndex()
        index.pin(branch, true, at: now)
        index.add(Samples.queueID(1), to: ship, at: now)
        index.forget(ship)
        #expect(index.record(ship) != nil)
        index.remove(Samples.queueID(1), at: now)

        index.forget(branch)
        index.forget(ship)

        #expect(index.record(branch) != nil)
        #expect(index.record(ship) == nil)
        #expect(index.domainCount == 1)
        index.pin(branch, false, at: now)
        #expect(index.domainCount == 0)
        // The freed numbers serve others.
        index.add(Samples.queueID(2), to: Samples.domain("new.example"), at: now)
        #expect(index.records.count == 2)
        #expect(index.records(of: ship, subdomains: true).isEmpty)
    }

    @Test func forgetsAMessageForOneDomainAndKeepsItForAnother() {
        var index = DeferredIndex()
        index.update(message(1, branch, ship, size: 50), at: now)

        let forgotten = index.remove(Samples.queueID(1), from: { $0 == branch }, at: now)

        #expect(forgotten)
        #expect(index.domains(of: Samples.queueID(1)) == [ship])
        #expect(index.bytes == 50)
        #expect(index.record(branch)?.bytes == 0)
        index.remove(Samples.queueID(1), from: { $0 == ship }, at: now)
        #expect(index.messageCount == 0)
        #expect(index.bytes == 0)
    }

    // MARK: Scans

    @Test func aScansOlderWordDoesNotUndoAnEvent() {
        var index = DeferredIndex()
        index.update(message(1, branch, ship), at: now)
        index.update(message(2), at: now)
        index.beginScan()
        // Read by the scan before, told after: 1 is pending only for ship now, 2 has left, 3 has come.
        index.update(message(1, ship), at: now)
        index.remove(Samples.queueID(2), at: now)
        index.update(message(3), at: now)

        let one = index.scanned(message(1, branch, ship), at: now)
        let two = index.scanned(message(2), at: now)
        let swept = index.sweep(from: 0, limit: 100, at: now)
        index.endScan()

        #expect(one == .none && two == .none)
        #expect(swept.dropped.isEmpty && swept.next == nil)
        #expect(index.domains(of: Samples.queueID(1)) == [ship])
        #expect(index.place(of: Samples.queueID(2)) == nil)
        #expect(index.place(of: Samples.queueID(3)) == .deferred)
    }

    @Test func aScanDescribesWhatAnAddDuringItTold() throws {
        var index = DeferredIndex()
        index.beginScan()
        index.add(Samples.queueID(1), to: branch, at: now)

        _ = index.scanned(message(1, size: 77, arrival: 1_000), at: now)
        index.endScan()

        #expect(index.bytes == 77)
        #expect(index.record(branch)?.bytes == 77)
        #expect(index.oldestArrival(of: try #require(index.number(of: branch))) == Timestamp(seconds: 1_000))
        #expect(index.oldestArrival() == Timestamp(seconds: 1_000))
    }

    @Test func survivesThreeHundredScans() {
        var index = DeferredIndex()
        for round in 0..<300 {
            index.beginScan()
            #expect(index.scanned(message(1), at: now) == (round == 0 ? .added : .none))
            if round % 2 == 0 { _ = index.scanned(message(2), at: now) }
            let swept = index.sweep(from: 0, limit: 1, at: now)
            if let next = swept.next { _ = index.sweep(from: next, limit: 100, at: now) }
            index.endScan()
            #expect(index.messageCount == (round % 2 == 0 ? 2 : 1), "round \(round)")
        }
    }

    // MARK: Against a model

    /// What the index should know, in the simplest terms.
    struct Model {
        struct Message: Equatable {
            var place = MessagePlace.deferred
            var arrival: Int64
            var size = 0
            var isDescribed = false
            var domains: Set<DomainName> = []
        }

        var messages: [QueueID: Message] = [:]
        /// The order of recording.
        var order: [DomainName: [QueueID]] = [:]
        var pinned: Set<DomainName> = []
        var known: Set<DomainName> = []

        mutating func set(_ id: QueueID, _ domains: [DomainName]) {
            let wanted = Set(domains)
            for domain in messages[id]?.domains ?? [] where !wanted.contains(domain) { order[domain]?.removeAll { $0 == id } }
            for domain in domains where messages[id]?.domains.contains(domain) != true { order[domain, default: []].append(id) }
            known.formUnion(domains)
            messages[id]?.domains = wanted
            if wanted.isEmpty { messages[id] = nil }
        }

        mutating func update(_ message: QueuedMessage) {
            guard !message.domains.isEmpty else { return set(message.id, []) }
            if messages[message.id] == nil { messages[message.id] = Message(arrival: 0) }
            messages[message.id]?.place = message.place
            describe(message)
            set(message.id, message.domains)
        }

        mutating func describe(_ message: QueuedMessage) {
            messages[message.id]?.isDescribed = true
            messages[message.id]?.arrival = message.arrival.seconds
            messages[message.id]?.size = message.size
        }
    }

    @Test(arguments: (1...12).map { UInt64($0) })
    func agreesWithANaiveModel(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let names = [
            "a.example", "b.example", "x.b.example", "a-b.example", "y.x.b.example", "xb.example", "c.test", "b.c.test", "example", "z.test",
            "1.z.test", "2.z.test", "zz.test", "_b.example",
        ].map(Samples.domain)
        let ids = (0..<120).map { number -> QueueID in
            let text = number % 10 == 0 ? String(repeating: "q", count: number % 20 == 0 ? 21 : 252) + String(100 + number) : "4c\(number)"
            return QueueID(text) ?? Samples.queueID(number)
        }
        var index = DeferredIndex()
        var model = Model()
        // The ground truth that a scan reads, and what was heard since the scan began.
        var heard: Set<QueueID> = []
        var isScanning = false
        var scanQueue: [QueuedMessage] = []
        var clock = now

        for step in 0..<4000 {
            clock = clock + .seconds(1)
            let id = try #require(ids.randomElement(using: &random))
            let domain = try #require(names.randomElement(using: &random))
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<30:
                let isNews = index.add(id, to: domain, at: clock)
                #expect(isNews == (model.messages[id]?.domains.contains(domain) != true), "seed \(seed), step \(step)")
                if model.messages[id] == nil { model.messages[id] = .init(arrival: clock.seconds) }
                model.messages[id]?.place = .deferred
                model.set(id, Array(model.messages[id]?.domains ?? []) + [domain])
                heard.insert(id)
            case 30..<55:
                let domains = Array(names.shuffled(using: &random).prefix(Int.random(in: 0...4, using: &random)))
                let place = try #require([MessagePlace.deferred, .held, .inDelivery].randomElement(using: &random))
                let told = QueuedMessage(
                    id: id, place: place, arrival: clock, size: Int.random(in: 0..<100_000, using: &random), domains: domains)
                index.update(told, at: clock)
                model.update(told)
                heard.insert(id)
            case 55..<75:
                #expect(index.remove(id, at: clock) == (model.messages[id] != nil), "seed \(seed), step \(step)")
                model.set(id, [])
                heard.insert(id)
            case 75..<80:
                index.remove(id, from: { $0 == domain }, at: clock)
                let rest = (model.messages[id]?.domains ?? []).filter { $0 != domain }
                // While it waits for others, a scan may correct it.
                if rest.isEmpty, model.messages[id] != nil { heard.insert(id) }
                model.set(id, Array(rest))
            case 80..<84:
                let isPinned = Bool.random(using: &random)
                index.pin(domain, isPinned, at: clock)
                if isPinned {
                    model.pinned.insert(domain)
                    model.known.insert(domain)
                } else {
                    model.pinned.remove(domain)
                    if model.order[domain]?.isEmpty != false { model.known.remove(domain) }
                }
            case 84..<87:
                index.forget(domain)
                if model.order[domain]?.isEmpty != false, !model.pinned.contains(domain) { model.known.remove(domain) }
            case 87..<90 where !isScanning:
                // The scan will find what the model has, but for a few that the index has wrong or does not have.
                isScanning = true
                index.beginScan()
                heard = []
                scanQueue = []
                for (known, message) in model.messages where Int.random(in: 0..<10, using: &random) > 0 {
                    var domains = Array(message.domains)
                    if Int.random(in: 0..<10, using: &random) == 0 { domains = [domain] }
                    scanQueue.append(
                        QueuedMessage(
                            id: known, place: .deferred, arrival: Timestamp(seconds: message.arrival), size: message.size + 1, domains: domains))
                }
                scanQueue.sort { $0.id < $1.id }
            case 90..<100 where isScanning && step % 3 == 0:
                // To its end, in one go; events came in between since it began.
                var found: Set<QueueID> = []
                for told in scanQueue {
                    found.insert(told.id)
                    let correction = index.scanned(told, at: clock)
                    if heard.contains(told.id) {
                        #expect(correction == .none, "seed \(seed), step \(step)")
                        if model.messages[told.id]?.isDescribed == false { model.describe(told) }
                        continue
                    }
                    model.update(told)
                }
                var next: Int? = 0
                var dropped: Set<QueueID> = []
                while let start = next {
                    let slice = index.sweep(from: start, limit: 7, at: clock)
                    dropped.formUnion(slice.dropped.map(\.0))
                    next = slice.next
                }
                index.endScan()
                isScanning = false
                let expected = Set(model.messages.keys).subtracting(found).subtracting(heard)
                #expect(dropped == expected, "seed \(seed), step \(step)")
                for gone in expected { model.set(gone, []) }
            default: break
            }
            if step % 200 == 199 { try compare(&index, model, names, "seed \(seed), step \(step)") }
        }
    }

    private func compare(
        _ index: inout DeferredIndex, _ model: Model, _ names: [DomainName], _ place: Comment
    ) throws {
        #expect(index.messageCount == model.messages.count, place)
        #expect(index.waitingDomainCount == model.order.values.filter { !$0.isEmpty }.count, place)
        #expect(index.domainCount == model.known.count, place)
        for (id, message) in model.messages {
            #expect(index.place(of: id) == message.place, place)
            #expect(Set(index.domains(of: id)) == message.domains, place)
        }
        for name in names {
            let wanted = model.order[name] ?? []
            var seen: [QueueID] = []
            var cursor: UInt32?
            repeat {
                let page = index.page(of: name, after: cursor, limit: 9)
                seen += page.ids
                cursor = page.next
            } while cursor != nil
            // In the order of recording; a message told for several new domains at once has one place in each.
            #expect(seen == wanted, place)
            #expect(index.record(name)?.messages ?? 0 == wanted.count, place)
            #expect((index.record(name) != nil) == model.known.contains(name), place)
            let bytes = wanted.reduce(0) { $0 + (model.messages[$1]?.size ?? 0) }
            #expect(index.record(name)?.bytes ?? 0 == bytes, place)
            let oldest = wanted.compactMap { model.messages[$0]?.arrival }.min()
            #expect(index.number(of: name).flatMap { index.oldestArrival(of: $0) }?.seconds == oldest, place)
            for subdomains in [false, true] {
                let meant = model.order.filter { $0.key == name || subdomains && $0.key.isSubdomain(of: name) }.flatMap(\.value)
                let snapshot = index.snapshot(of: .domain(name, subdomains: subdomains))
                #expect(Set(snapshot.ids) == Set(meant) && snapshot.ids.count == Set(meant).count, place)
            }
        }
        #expect(index.bytes == model.messages.values.reduce(0) { $0 + $1.size }, place)
        #expect(index.oldestArrival()?.seconds == model.messages.values.map(\.arrival).min(), place)
        #expect(Set(index.snapshot(of: .everything).ids) == Set(model.messages.keys), place)
        for prefix in ["", "b", "a", "x.b", "zz", "nothing"] {
            for after in [nil, Samples.domain("b.example"), Samples.domain("zz.test")] {
                var listed: [DomainName] = []
                index.visitDomains(after: after, prefix: prefix) { number in
                    listed.append(index.name(number))
                    return true
                }
                let wanted = model.known.filter { name in
                    name.description.hasPrefix(prefix) && (after.map { $0 < name } ?? true)
                }
                #expect(listed == wanted.sorted(), place)
            }
        }
    }
}
