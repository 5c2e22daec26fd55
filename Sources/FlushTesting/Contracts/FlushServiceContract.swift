// What every flush service must do, the core and whoever asks it for somebody: flushes.

import FlushCore

/// The demands of `FlushService` and `RelayDomainService`, but for `add`, `refresh` and `purge`, which a service elsewhere leaves to the
/// daemon's own host.
public enum FlushServiceContract {
    public typealias Case = ContractCase<FlushServiceTrial>

    public static let cases = flushing + waiting + asking + provisioning

    static let fast = Samples.domain("fast.example")
    static let below = Samples.domain("sub.fast.example")
    static let slow = Samples.domain("slow.example")

    static func request(_ selector: FlushSelector, note: String? = nil, mayFlushAll: Bool = true) -> FlushRequest {
        FlushRequest(selector, via: .http, requestedBy: FlushServiceTrial.asker, note: note, mayFlushAll: mayFlushAll)
    }

    static func domain(_ name: DomainName, subdomains: Bool = false) -> FlushSelector { .domain(name, subdomains: subdomains) }

    /// What a call threw; nil when it did not.
    static func refusal<Value>(_ call: () async throws(FlushError) -> Value) async -> FlushError? {
        do throws(FlushError) {
            _ = try await call()
            return nil
        } catch { return error }
    }

    private static let flushing: [Case] = [
        Case("a flush of nothing is finished when it is answered") { open in
            let trial = try await open()

            let flush = try await trial.service.flush(request(domain(fast)))

            try demand(flush.state, is: .finished, "state")
            try demand(flush.matched, is: 0, "matched")
            try demand(flush.selector, is: domain(fast), "selector")
            try await demand(trial.service.flush(flush.id, waitingFor: .zero), is: flush, "the flush asked for again")
        },
        Case("a flush tells what it matched, and then what became of it") { open in
            let trial = try await open()
            trial.queue.stall()
            let ids = [try await trial.put(1, fast), try await trial.put(2, fast), try await trial.put(3, slow)]

            let flush = try await trial.service.flush(request(domain(fast), note: "the link's up: \"50 % & more\" ü🛰 a+b/c?d#e"))

            try demand(flush.matched, is: 2, "matched")
            try demand(flush.state, is: .running, "state")
            try demand(flush.note, is: "the link's up: \"50 % & more\" ü🛰 a+b/c?d#e", "note")
            try demand(flush.requestedBy, is: FlushServiceTrial.asker, "asker")
            try demand(flush.via, is: .http, "way")
            await trial.queue.waitForReleases(1)
            trial.queue.deliver(ids[0])
            trial.queue.deferAgain(ids[1], reason: "connect: refused")
            try await FlushServiceTrial.until("the flush has ended") {
                try await trial.core.flush(flush.id, waitingFor: .zero)?.state == .finished
            }
            let ended = try await trial.service.flush(flush.id, waitingFor: .zero)
            try demand(ended?.delivered, is: 1, "delivered")
            try demand(ended?.deferredAgain, is: 1, "deferred again")
            try demand(ended?.lastReason, is: "connect: refused", "reason")
            try await demand(ended, is: trial.core.flush(flush.id, waitingFor: .zero), "the whole flush")
        },
        Case("a second request joins the first") { open in
            let trial = try await open()
            try await trial.put(1, fast)
            let first = try await trial.service.flush(request(domain(fast)))

            let second = try await trial.service.flush(request(domain(fast)))

            try demand(second.id, is: first.id, "ID")
            try demand([first.coalesced, second.coalesced], is: [false, true], "coalesced")
        },
        Case("subdomains, one message and everything") { open in
            let trial = try await open()
            let id = try await trial.put(1, fast)
            try await trial.put(2, below)
            try await trial.put(3, slow)

            for (selector, matched) in [
                (domain(fast), 1), (domain(fast, subdomains: true), 2), (.message(id), 1), (.everything, 3),
            ] as [(FlushSelector, Int)] {
                let preview = try await trial.service.preview(request(selector))
                try demand(preview.matched, is: matched, "matched by \(selector)")
                try demand(preview.selector, is: selector, "selector")
                try demand(preview.dryRun, is: true, "dry run")
            }
            try demand(trial.queue.releases, is: [], "releases of previews")
            try await demand(trial.service.flush(request(.message(id))).selector, is: .message(id), "selector")
            await trial.queue.waitForReleases(1)
            try demand(trial.queue.releases, is: [[id]], "releases")
        },
        Case("an unknown message is refused with its ID") { open in
            let trial = try await open()
            let id = Samples.queueID(77)

            try await demand(
                refusal { () async throws(FlushError) in try await trial.service.flush(request(.message(id))) },
                is: .messageNotFound(id), "flush")
            try await demand(
                refusal { () async throws(FlushError) in try await trial.service.preview(request(.message(id))) },
                is: .messageNotFound(id), "preview")
        },
        Case("who may not flush all gets a reason instead of a slow flush") { open in
            let trial = try await open()
            let wanted = request(domain(slow), mayFlushAll: false)

            let expected = await refusal { () async throws(FlushError) in try await trial.core.flush(wanted) }
            guard case .notEligible(slow, let reason)? = expected, !reason.isEmpty else {
                throw ContractViolation(description: "the core was expected to refuse, and said \(String(describing: expected))")
            }
            try await demand(refusal { () async throws(FlushError) in try await trial.service.flush(wanted) }, is: expected, "flush")
            try await demand(refusal { () async throws(FlushError) in try await trial.service.preview(wanted) }, is: expected, "preview")
            try await demand(trial.service.flush(request(domain(fast), mayFlushAll: false)).mode, is: .fast, "mode of a fast one")
        },
        Case("a second slow flush within the interval is scheduled") { open in
            let trial = try await open()
            trial.queue.script(.delivered, for: slow)
            let first = try await trial.service.flush(request(domain(slow)))

            try await FlushServiceTrial.until("the first has ended") {
                try await trial.core.flush(first.id, waitingFor: .zero)?.state == .finished
            }
            let second = try await trial.service.flush(request(domain(slow)))

            try demand([first.mode, second.mode], is: [.slow, .slow], "modes")
            try demand(second.scheduledAt != nil, is: true, "a time")
            try await demand(trial.service.flush(second.id, waitingFor: .zero), is: trial.core.flush(second.id, waitingFor: .zero), "the flush")
        },
        Case("a cancelled flush is told as such, an unknown one not at all") { open in
            let trial = try await open()
            try await trial.put(1, fast)
            let flush = try await trial.service.flush(request(domain(fast)))

            try await demand(trial.service.cancel(flush.id)?.state, is: .cancelled, "state")
            try await demand(trial.service.cancel(Samples.flushID(1)), is: nil, "an unknown one")
        },
        Case("flushes are listed newest first, by domain, state and page") { open in
            let trial = try await open()
            for number in 0..<5 { try await trial.put(number, fast) }
            for selector in [domain(fast), domain(below), domain(fast, subdomains: true), .everything] {
                _ = try await trial.core.flush(request(selector))
            }
            let all = try await trial.core.flushes(FlushQuery())
            try demand(all.count, is: 4, "flushes")

            for query in [
                FlushQuery(), FlushQuery(limit: 1), FlushQuery(limit: 3), FlushQuery(limit: 5_000), FlushQuery(domain: fast),
                FlushQuery(state: .running), FlushQuery(domain: below, state: .finished), FlushQuery(before: all[1].id),
                FlushQuery(before: all[3].id), FlushQuery(limit: 0),
            ] {
                try await demand(trial.service.flushes(query), is: trial.core.flushes(query), "\(query)")
            }
        },
        Case("a history that cannot be read is said with its reason") { open in
            let trial = try await open()
            trial.history.failure = .unavailable("the disk is gone: 100 % \"full\"\nsecond line")
            let unknown = Samples.flushID(1)

            let listing = await refusal { () async throws(FlushError) in try await trial.core.flushes(FlushQuery()) }
            try demand(listing != nil, is: true, "a refusal by the core")
            try await demand(refusal { () async throws(FlushError) in try await trial.service.flushes(FlushQuery()) }, is: listing, "list")
            let single = await refusal { () async throws(FlushError) in try await trial.core.flush(unknown, waitingFor: .zero) }
            try await demand(refusal { () async throws(FlushError) in try await trial.service.flush(unknown, waitingFor: .zero) }, is: single, "one")
        },
    ]

    private static let waiting: [Case] = [
        Case("who waits is answered when the flush ends") { open in
            let trial = try await open()
            let id = try await trial.put(1, fast)
            let flush = try await trial.service.flush(request(domain(fast)))
            await trial.queue.waitForReleases(1)

            async let ended = trial.service.flush(flush.id, waitingFor: .seconds(20))
            trial.queue.deliver(id)

            try await demand(ended?.state, is: .finished, "state")
            try await demand(ended?.delivered, is: 1, "delivered")
        },
        Case("who waits is answered when the patience ends, with the flush as it is") { open in
            let trial = try await open()
            try await trial.put(1, fast)
            let flush = try await trial.service.flush(request(domain(fast)))
            await trial.queue.waitForReleases(1)

            let answers = Recorder<Flush?>()
            let asking = Task { answers.append(try await trial.service.flush(flush.id, waitingFor: .seconds(7))) }
            // Far less than the hour after which a flush ends by itself.
            for _ in 0..<100 where answers.elements.isEmpty {
                await trial.time.advance(by: .seconds(8))
                try await Task.sleep(for: .milliseconds(10))
            }
            try await asking.value

            let still = answers.elements[0]
            try demand(still?.state, is: .running, "state")
            try demand(still?.open, is: 1, "open")
        },
        Case("no patience, less than none and an unknown flush need no waiting") { open in
            let trial = try await open()
            try await trial.put(1, fast)
            let flush = try await trial.service.flush(request(domain(fast)))

            for patience in [Duration.zero, .seconds(-5)] {
                try await demand(trial.service.flush(flush.id, waitingFor: patience)?.state, is: .running, "state")
            }
            try await demand(trial.service.flush(Samples.flushID(1), waitingFor: .seconds(10)), is: nil, "an unknown flush")
        },
    ]
}
