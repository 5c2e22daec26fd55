// What every engine must tell of its attempts: whose they are, what came of them, and in which order.

import FlushCore

extension MailQueueContract {
    static let attempting: [Case] = [
        Case("a released message has exactly one attempt with its flush's ID") { open in
            let harness = try await open()
            harness.answer(branch, .deferred(reason: "away"))
            harness.answer(ship, .delivered)
            let stays = try await harness.put([branch], .deferred)
            let goes = try await harness.put([ship], .deferred)
            let one = Samples.flushID(1)
            let two = Samples.flushID(2)
            try await demand(harness.release([stays, goes], by: one), is: [.released, .released], "first release")
            _ = try await harness.attempt(on: goes)
            _ = try await harness.attempt(on: stays)
            try await demand(harness.release([stays], by: nil), is: [.released], "refresh")
            _ = try await harness.attempt(2, on: stays)
            try await demand(harness.release([stays, goes], by: two), is: [.released, .vanished], "second release")
            _ = try await harness.attempt(3, on: stays)

            let seen = try await harness.soFar(branch)

            try demand(seen.attempts(on: stays).map(\.flush), is: [one, nil, two], "flushes of what stays")
            try demand(seen.attempts(on: goes).map(\.flush), is: [one], "flushes of what went")
        },
        Case("the engine's own attempts are nobody's, also when a flush asked meanwhile") { open in
            let harness = try await open()
            harness.answer(branch, .deferred(reason: "away"))
            harness.stall()
            let id = try await harness.put([branch], .inDelivery)
            try await demand(harness.release([id], by: Samples.flushID(1)), is: [.inDelivery], "release meanwhile")

            harness.resume()

            try await demand(harness.attempt(on: id).flush, is: nil, "flush")
            try await demand(harness.release([id], by: Samples.flushID(2)), is: [.released], "release afterwards")
            try await demand(harness.attempt(2, on: id).flush, is: Samples.flushID(2), "flush")
        },
        Case("an attempt tells what it did, and what the message is now") { open in
            let harness = try await open()
            let fates: [InMemoryQueue.Fate] = [.delivered, .deferred(reason: "away"), .bounced(reason: "550 5.1.1 nobody")]
            for fate in fates {
                harness.answer(branch, fate)
                let id = try await harness.put([branch], .deferred)
                let before = try await harness.scanned()[id]
                try await demand(harness.release([id], unthrottle: true), is: [.released], "release, \(fate)")

                let attempt = try await harness.attempt(on: id)

                try demand(attempt.outcomes.map(counts), is: [counts(expected(fate))], "counts, \(fate)")
                let reason = attempt.outcomes.first?.reason
                try demand(reason == nil, is: fate == .delivered, "no reason, \(fate)")
                try demand((reason?.utf8.count ?? 0) <= 500, is: true, "a reason's length, \(fate)")
                var isDeferred = false
                if case .deferred = fate { isDeferred = true }
                try demand(attempt.siteAnswered && isDeferred, is: false, "an answer from a site that cannot be reached")
                try demand(attempt.remaining, is: isDeferred ? before : nil, "the message now, \(fate)")
                try await demand(harness.scanned()[id], is: attempt.remaining, "scan, \(fate)")
                let described = try await harness.queue.describe([id])
                try demand(described.map { $0.recipients.map(\.state) }, is: isDeferred ? [[.pending]] : [], "description, \(fate)")
            }
        },
        Case("a message for two domains waits for the one that was not reached") { open in
            let harness = try await open()
            harness.answer(ship, .deferred(reason: "at sea"))
            let id = try await harness.put([branch, ship], .deferred)
            try await demand(harness.release([id], by: Samples.flushID(1), for: selector(branch)), is: [.released], "release")

            let attempt = try await harness.attempt(on: id)

            // Postfix tries the other domain too, and tells.
            let reached = attempt.outcomes.filter { $0.domain == branch }
            try demand(reached, is: [DomainOutcome(domain: branch, delivered: 1)], "what was meant")
            for outcome in attempt.outcomes where outcome.domain != branch {
                try demand(counts(outcome), is: counts(DomainOutcome(domain: ship, deferred: 1)), "what was tried too")
            }
            try demand(attempt.remaining?.domains, is: [ship], "domains left")
            try demand(attempt.remaining?.place, is: .deferred, "place")
            try await demand(harness.scanned()[id], is: attempt.remaining, "scan")
            try await demand(harness.release([id], for: selector(branch)), is: [.vanished], "release for who has it already")
            harness.answer(ship, .delivered)
            try await demand(harness.release([id], for: selector(ship), unthrottle: true), is: [.released], "release for the other")
            let last = try await harness.attempt(2, on: id)
            try demand(last.outcomes, is: [DomainOutcome(domain: ship, delivered: 1)], "the rest")
            try demand(last.remaining, is: nil, "the message in the end")
        },
        Case("a message's events come in order, and nothing comes after it has left") { open in
            let harness = try await open()
            harness.answer(branch, .deferred(reason: "away"))
            let id = try await harness.put([branch], .deferred)
            let message = try await harness.scanned()[id]
            guard let message else { throw ContractViolation(description: "a message that was put in is not in the scan") }
            _ = try await harness.release([id], by: Samples.flushID(1))
            _ = try await harness.attempt(on: id)
            harness.answer(branch, .delivered)
            _ = try await harness.release([id], by: Samples.flushID(2), unthrottle: true)
            _ = try await harness.attempt(2, on: id)

            let events = try await harness.soFar(ship).events(about: id)

            var moving = message
            moving.place = .inDelivery
            let bare = events.map { event -> QueueEvent in
                guard case .attempted(var attempt) = event else { return event }
                attempt.outcomes = []
                attempt.siteAnswered = false
                return .attempted(attempt)
            }
            let expected: [QueueEvent] = [
                .queued(message), .queued(moving), .attempted(DeliveryAttempt(id: id, flush: Samples.flushID(1), remaining: message, outcomes: [])),
                .queued(moving), .attempted(DeliveryAttempt(id: id, flush: Samples.flushID(2), remaining: nil, outcomes: [])),
            ]
            try demand(bare, is: expected, "events")
        },
        Case("a dead site is tried again when the release says so") { open in
            let harness = try await open()
            harness.answer(branch, .deferred(reason: "away"))
            let ids = [try await harness.put([branch], .deferred), try await harness.put([branch], .deferred)]
            _ = try await harness.release([ids[0]], by: Samples.flushID(1))
            _ = try await harness.attempt(on: ids[0])
            // An engine may judge without trying; it tells an outcome all the same.
            try await demand(harness.release(ids, by: Samples.flushID(2)), is: [.released, .released], "release, still dead")
            _ = try await harness.attempt(2, on: ids[0])
            try await demand(harness.attempt(on: ids[1]).flush, is: Samples.flushID(2), "flush, still dead")
            harness.answer(branch, .delivered)

            try await demand(harness.release(ids, by: Samples.flushID(3), unthrottle: true), is: [.released, .released], "release")

            try await demand(harness.attempt(3, on: ids[0]).remaining, is: nil, "the first")
            try await demand(harness.attempt(2, on: ids[1]).remaining, is: nil, "the second")
        },
    ]

    private static func expected(_ fate: InMemoryQueue.Fate) -> DomainOutcome {
        switch fate {
        case .delivered: DomainOutcome(domain: branch, delivered: 1)
        case .deferred: DomainOutcome(domain: branch, deferred: 1)
        case .bounced: DomainOutcome(domain: branch, bounced: 1)
        }
    }

    /// An outcome without its words, which are the engine's own.
    private static func counts(_ outcome: DomainOutcome) -> DomainOutcome {
        var outcome = outcome
        outcome.reason = nil
        return outcome
    }
}
