// What every flush service must tell of destinations and messages.

import FlushCore

extension FlushServiceContract {
    static let asking: [Case] = [
        Case("a domain that nobody knows of is nil, and its messages too") { open in
            let trial = try await open()

            try await demand(trial.service.domain(slow), is: nil, "domain")
            try await demand(trial.service.messages(for: slow, after: nil, limit: 10), is: nil, "messages")
            try await demand(trial.service.relayDomain(slow), is: nil, "relay domain")
        },
        Case("domains are told with all that is known of them") { open in
            let trial = try await open()
            trial.queue.script(.deferred(reason: "connect to mail.fast.example: refused"), for: fast)
            try await trial.put(1, fast)
            try await trial.put(2, below, slow)
            _ = try await trial.core.flush(request(domain(fast)))
            try await FlushServiceTrial.until("the reason is known") { await trial.core.domain(fast)?.summary.lastReason != nil }
            let international = Samples.domain("bücher.example")
            try await trial.put(3, international)

            for name in [fast, below, slow, international] {
                try await demand(trial.service.domain(name), is: trial.core.domain(name), "\(name)")
            }
            for query in [
                DomainQuery(), DomainQuery(limit: 1), DomainQuery(after: fast), DomainQuery(prefix: "s"), DomainQuery(prefix: "fast.example"),
                DomainQuery(prefix: "S"), DomainQuery(prefix: "ü"), DomainQuery(prefix: "a b&c=d"), DomainQuery(waitingOnly: true),
            ] {
                try await demand(trial.service.domains(query), is: trial.core.domains(query), "\(query)")
            }
        },
        Case("more domains than fit a page come all the same") { open in
            let trial = try await open()
            let nextHop = Samples.relayDomain("a.example").nextHop
            for number in 0..<1_100 {
                let name = Samples.domain("d\(10_000 + number).example")
                _ = try await trial.core.putRelayDomain(
                    RelayDomainDraft(nextHop: nextHop, owner: number % 2 == 0 ? "even" : "odd"), for: name, by: "x", if: [])
            }

            for limit in [999, 1_000, 1_001, 1_099, 5_000] {
                try await demand(
                    trial.service.domains(DomainQuery(limit: limit)).map(\.domain), is: trial.core.domains(DomainQuery(limit: limit)).map(\.domain),
                    "limit \(limit)")
                try await demand(
                    trial.service.relayDomains(after: nil, owner: nil, limit: limit),
                    is: trial.core.relayDomains(after: nil, owner: nil, limit: limit), "relay domains, limit \(limit)")
            }
            for limit in [3, 550, 2_000] {
                try await demand(
                    trial.service.relayDomains(after: Samples.domain("d10004.example"), owner: "odd", limit: limit),
                    is: trial.core.relayDomains(after: Samples.domain("d10004.example"), owner: "odd", limit: limit), "of one owner, limit \(limit)")
            }
        },
        Case("messages come page by page") { open in
            let trial = try await open()
            for number in 0..<7 { try await trial.put(number, fast, slow) }

            var cursor: MessageCursor?
            var seen: [QueueID] = []
            repeat {
                let page = try await trial.service.messages(for: fast, after: cursor, limit: 3)
                try await demand(page, is: trial.core.messages(for: fast, after: cursor, limit: 3), "page after \(seen.count)")
                seen += page?.messages.map(\.id) ?? []
                cursor = page?.next
            } while cursor != nil && seen.count < 100
            try demand(Set(seen), is: Set((0..<7).map { Samples.queueID($0) }), "IDs")
            try await demand(
                trial.service.messages(for: fast, after: nil, limit: 5_000), is: trial.core.messages(for: fast, after: nil, limit: 5_000), "all")
        },
        Case("one message is told, an unknown one refused") { open in
            let trial = try await open()
            let id = try await trial.put(1, fast, slow)

            try await demand(trial.service.message(id), is: trial.core.message(id), "message")
            let unknown = Samples.queueID(9)
            try await demand(
                refusal { () async throws(FlushError) in try await trial.service.message(unknown) },
                is: .messageNotFound(unknown), "refusal")
        },
        Case("a message is removed, or it is said why not") { open in
            let trial = try await open()
            let waiting = try await trial.put(1, fast)
            let busy = try await trial.put(2, fast, place: .inDelivery)
            let unknown = Samples.queueID(9)

            try await trial.service.remove(waiting)

            try demand(trial.queue.messages[waiting], is: nil, "in the queue")
            try await demand(refusal { () async throws(FlushError) in try await trial.service.remove(busy) }, is: .messageBusy(busy), "busy")
            try await demand(
                refusal { () async throws(FlushError) in try await trial.service.remove(unknown) },
                is: .messageNotFound(unknown), "unknown")
            trial.queue.removeFailure = .unsupported("Use postsuper -d \(busy).")
            try await demand(
                refusal { () async throws(FlushError) in try await trial.service.remove(busy) }, is: .unsupported("Use postsuper -d \(busy)."),
                "unsupported")
            trial.queue.removeFailure = .unavailable("the disk is gone")
            try await demand(
                refusal { () async throws(FlushError) in try await trial.service.remove(busy) }, is: .queueUnavailable(reason: "the disk is gone"),
                "unavailable")
        },
        Case("the status is the core's") { open in
            let trial = try await open()
            try await trial.put(1, fast)
            _ = try await trial.core.flush(request(domain(fast)))
            await trial.queue.waitForReleases(1)
            try await FlushServiceTrial.until("the release is counted") { await trial.core.status().messagesReleased == 1 }

            try await demand(trial.service.status(), is: trial.core.status(), "status")
        },
    ]
}
