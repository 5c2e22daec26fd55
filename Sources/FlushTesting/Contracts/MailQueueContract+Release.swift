// What every engine must do when it is asked for delivery: the answers, and the attempts that follow from them.

import FlushCore

extension MailQueueContract {
    /// The answers of `release`.
    static let releasing: [Case] = [
        Case("a release says what became of each message, in the order of the IDs") { open in
            let harness = try await open()
            harness.stall()
            let busy = try await harness.put([branch], .inDelivery)
            let first = try await harness.put([branch], .deferred)
            let held = try await harness.put([branch], .held)
            let gone = try await harness.put([branch], .deferred)
            let elsewhere = try await harness.put([ship], .deferred)
            let heldElsewhere = try await harness.put([ship], .held)
            let last = try await harness.put([branch, ship], .deferred)
            try await harness.takeAway(gone)
            // So many strangers between them that an engine which works in portions needs more than one.
            let half = unknown.count / 2
            let ids = [held, first, gone] + unknown[..<half] + [elsewhere, busy, heldElsewhere] + unknown[half...] + [last]
            let vanished = [ReleaseResult](repeating: .vanished, count: half)

            let results = try await harness.release(ids, by: Samples.flushID(1), for: selector(branch))

            let expected = [.held, .released, .vanished] + vanished + [.vanished, .inDelivery, .vanished] + vanished + [.released]
            try demand(results, is: expected, "results")
            harness.resume()
            for id in [first, last] { try await demand(harness.attempt(on: id).flush, is: Samples.flushID(1), "flush of \(id)") }
            try await demand(harness.attempt(on: busy).flush, is: nil, "flush of what was in delivery")
            let seen = try await harness.soFar(ship)
            for id in [held, elsewhere, heldElsewhere] { try demand(seen.attempts(on: id), is: [], "attempts on what was not released") }
            let scanned = try await harness.scanned()
            try demand(scanned[held]?.place, is: .held, "place of what was held")
            try demand(scanned[elsewhere]?.place, is: .deferred, "place of what was not meant")
            try demand(scanned[gone], is: nil, "what was taken away")
        },
        Case("an ID that comes twice in a release is released once") { open in
            let harness = try await open()
            harness.answer(branch, .deferred(reason: "away"))
            let id = try await harness.put([branch], .deferred)

            let results = try await harness.release([id, id], by: Samples.flushID(1))

            try demand(results, is: [.released, .inDelivery], "results")
            _ = try await harness.attempt(on: id)
            try await demand(harness.soFar(ship).attempts(on: id).count, is: 1, "attempts")
        },
        Case("what is being delivered for one flush is not released for another") { open in
            let harness = try await open()
            harness.stall()
            let id = try await harness.put([branch], .deferred)
            try await demand(harness.release([id], by: Samples.flushID(1)), is: [.released], "first release")
            try await demand(harness.release([id], by: Samples.flushID(2)), is: [.inDelivery], "second release")
            try await demand(harness.scanned()[id]?.place, is: .inDelivery, "place")

            harness.resume()

            _ = try await harness.attempt(on: id)
            try await demand(harness.soFar(ship).attempts(on: id).map(\.flush), is: [Samples.flushID(1)], "flushes of the attempts")
        },
        Case("a selector means only its own recipients") { open in
            let harness = try await open()
            let atBranch = try await harness.put([branch], .deferred)
            let underBranch = try await harness.put([below], .deferred)
            let atShip = try await harness.put([ship], .deferred)
            let all = [atBranch, underBranch, atShip]
            harness.answer(branch, .deferred(reason: "away"))
            harness.answer(below, .deferred(reason: "away"))
            harness.answer(ship, .deferred(reason: "away"))
            let rounds: [(FlushSelector, [ReleaseResult])] = [
                (selector(branch), [.released, .vanished, .vanished]), (selector(below), [.vanished, .released, .vanished]),
                (selector(branch, subdomains: true), [.released, .released, .vanished]),
                (.message(atShip), [.vanished, .vanished, .released]), (.everything, [.released, .released, .released]),
            ]
            var counts = [0, 0, 0]
            for (wanted, expected) in rounds {
                try await demand(harness.release(all, for: wanted), is: expected, "\(wanted)")
                for position in all.indices where expected[position] == .released {
                    counts[position] += 1
                    _ = try await harness.attempt(counts[position], on: all[position])
                }
                let seen = try await harness.soFar(ship)
                try demand(all.map { seen.attempts(on: $0).count }, is: counts, "attempts after \(wanted)")
            }
        },
        Case("a release that throws has released nothing") { open in
            let harness = try await open()
            let id = try await harness.put([branch], .deferred)
            try await harness.events.wait(for: "the arrival") { !$0.events(about: id).isEmpty }
            await harness.breakDown()
            do {
                let results = try await harness.release([id], by: Samples.flushID(1))
                throw ContractViolation(description: "a broken queue answered \(results)")
            } catch is MailQueueError {}

            let repaired = try await open()

            let scanned = try await repaired.scanned()
            try demand(scanned[id]?.place, is: .deferred, "place")
            let mark = try await repaired.put([ship], .deferred)
            let seen = try await harness.events.wait(for: "the end, or what came next") { $0.hasEnded || !$0.events(about: mark).isEmpty }
            try demand(seen.events(about: id).count, is: 1, "events of the message")
            try await demand(repaired.release([id], by: Samples.flushID(2)), is: [.released], "release after the repair")
            try await demand(repaired.attempt(on: id).flush, is: Samples.flushID(2), "flush")
        },
    ]
}
