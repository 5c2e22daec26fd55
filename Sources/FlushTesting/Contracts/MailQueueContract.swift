// What every engine must do: what it tells of its messages, and how they leave.

import FlushCore

public enum MailQueueContract {
    public typealias Case = ContractCase<any MailQueueHarness>

    public static let cases = telling + releasing + attempting + leaving

    static let branch = Samples.domain("branch.example")
    static let below = Samples.domain("sub.branch.example")
    static let ship = Samples.domain("ship.example")
    /// IDs that no message has.
    static let unknown = (0..<300).map { number -> QueueID in
        guard let id = QueueID("uuuuuuuuuuuuuuuuuu\(number)") else { preconditionFailure("\(number) makes no queue ID") }
        return id
    }

    static func selector(_ domain: DomainName, subdomains: Bool = false) -> FlushSelector { .domain(domain, subdomains: subdomains) }

    /// Scans, descriptions, and what events say of arrivals.
    private static let telling: [Case] = [
        Case("an empty queue has nothing to tell") { open in
            let harness = try await open()
            try await demand(harness.scanned(), is: [:], "scan")
            try await demand(harness.queue.describe([]), is: [], "descriptions of nobody")
            try await demand(harness.queue.describe([unknown[0]]), is: [], "descriptions of a stranger")
            try await demand(harness.release([]), is: [], "release of nothing")
        },
        Case("the scan tells every message once, with its place and each of its domains once") { open in
            let harness = try await open()
            harness.stall()
            let expected: [(domains: [DomainName], place: MessagePlace)] = [
                ([branch], .deferred), ([branch, ship, branch], .deferred), ([ship], .held), ([branch, ship], .inDelivery),
            ]
            var ids: [QueueID] = []
            for message in expected { ids.append(try await harness.put(message.domains, message.place)) }

            let scanned = try await harness.scanned()

            try demand(Set(scanned.keys), is: Set(ids), "IDs")
            for (id, message) in zip(ids, expected) {
                try demand(scanned[id]?.place, is: message.place, "place of \(message)")
                try demand(scanned[id]?.domains.sorted(), is: Set(message.domains).sorted(), "domains of \(message)")
            }
            harness.resume()
            _ = try await harness.attempt(on: ids[3])
        },
        Case("what arrives is told as the scan tells it") { open in
            let harness = try await open()
            let waiting = try await harness.put([branch, ship], .deferred)
            let held = try await harness.put([ship], .held)
            let scanned = try await harness.scanned()
            for id in [waiting, held] {
                let seen = try await harness.events.wait(for: "\(id)") { seen in
                    scanned[id].map { seen.events(about: id).last == .queued($0) } ?? false
                }
                try demand(seen.attempts(on: id), is: [], "attempts")
            }
        },
        Case("descriptions come in the order in which they were asked for, without those that are gone") { open in
            let harness = try await open()
            let first = try await harness.put([branch, ship], .deferred)
            let held = try await harness.put([ship], .held)
            let gone = try await harness.put([branch], .deferred)
            let last = try await harness.put([ship], .deferred)
            try await harness.takeAway(gone)

            let told = try await harness.queue.describe([last, unknown[0], held, gone, first])

            try demand(told.map(\.id), is: [last, held, first], "IDs")
            try demand(told.map(\.place), is: [.deferred, .held, .deferred], "places")
            try demand(told.map { $0.recipients.map(\.state) }, is: [[.pending], [.pending], [.pending, .pending]], "recipients")
            let scanned = try await harness.scanned()
            for message in told {
                try demand(message.arrival, is: scanned[message.id]?.arrival ?? Timestamp(seconds: 0), "arrival")
                try demand(message.size, is: scanned[message.id]?.size ?? -1, "size")
            }
        },
        Case("events that are lost are told, and a scan makes up for them") { open in
            let harness = try await open()
            let ids = try await harness.flood(branch)

            let seen = try await harness.events.wait(for: "the loss") { $0.events.contains(.rescanNeeded) }

            // An engine that waits for its follower, until moves are lost elsewhere, has told of some.
            for event in seen.events.prefix(while: { $0 != .rescanNeeded }) {
                var isArrival = false
                if case .queued(let message) = event { isArrival = ids.contains(message.id) }
                try demand(isArrival, is: true, "what was told before the loss, \(event)")
            }
            let scanned = try await harness.scanned()
            try demand(Set(scanned.keys), is: Set(ids), "IDs")
            let later = try await harness.put([ship], .deferred)
            try await harness.events.wait(for: "what comes after the loss") { !$0.events(about: later).isEmpty }
        },
    ]

    /// Removal, and what others take away.
    private static let leaving: [Case] = [
        Case("a removed message is gone, and that is told") { open in
            let harness = try await open()
            let waiting = try await harness.put([branch], .deferred)
            let held = try await harness.put([branch], .held)
            let other = try await harness.put([branch], .deferred)
            for id in [waiting, held] {
                do throws(MailQueueError) { try await harness.queue.remove(id) } catch .unsupported {
                    try await demand(harness.scanned()[id] != nil, is: true, "still there where removing is left to other tools")
                    continue
                }
                try await harness.events.wait(for: "the removal") { $0.events(about: id).last == .left(id) }
                try await demand(harness.scanned()[id], is: nil, "scan")
                try await demand(harness.queue.describe([id]), is: [], "description")
                try await demand(harness.release([id]), is: [.vanished], "release")
                try await demandRefusal(of: id, .notFound(id), harness)
            }
            try await demand(harness.scanned()[other] != nil, is: true, "another message")
        },
        Case("who is not there is not removed") { open in
            let harness = try await open()
            let gone = try await harness.put([branch], .deferred)
            try await harness.takeAway(gone)
            for id in [unknown[0], gone] { try await demandRefusal(of: id, .notFound(id), harness) }
        },
        Case("what is in delivery is not removed, and its attempt ends as if nobody had asked") { open in
            let harness = try await open()
            harness.stall()
            let own = try await harness.put([branch], .inDelivery)
            let asked = try await harness.put([branch], .deferred)
            try await demand(harness.release([asked], by: Samples.flushID(1)), is: [.released], "release")

            for id in [own, asked] { try await demandRefusal(of: id, .busy(id), harness) }

            harness.resume()
            for id in [own, asked] {
                try await demand(harness.attempt(on: id).outcomes, is: [DomainOutcome(domain: branch, delivered: 1)], "outcome")
            }
        },
    ]

    /// Engines that leave removal to their own tools may say so of every message.
    private static func demandRefusal(
        of id: QueueID, _ expected: MailQueueError, _ harness: any MailQueueHarness, line: UInt = #line
    ) async throws {
        do throws(MailQueueError) { try await harness.queue.remove(id) } catch .unsupported { return } catch {
            return try demand(error, is: expected, "refused removal", line: line)
        }
        throw ContractViolation(description: "\(#fileID):\(line): \(id) was removed; expected \(expected)")
    }
}
