// What every store of past flushes must do.

import FlushCore

public enum FlushHistoryStoreContract {
    public typealias Case = ContractCase<any FlushHistoryStore>

    public static let cases: [Case] = [
        Case("an empty store knows no flush") { open in
            let store = try await open()
            try await demand(store.flush(Samples.flushID(1)), is: nil, "flush")
            try await demand(store.flushes(FlushQuery()), is: [], "flushes")
            try await demand(store.lastFlushes(), is: [:], "last flushes")
            try await demand(store.interruptRunning(at: time), is: 0, "interrupted")
            try await store.trim(to: 0)
            try await store.save([])
        },
        Case("every field of a flush comes back after a restart, whatever it selects") { open in
            let flushes = [
                Samples.fullFlush(1, .domain(branch, subdomains: false)), Samples.fullFlush(2, .domain(ship, subdomains: true)),
                Samples.fullFlush(3, .message(Samples.queueID(7))), Samples.fullFlush(4, .everything), Samples.flush(5),
            ]
            try await open().save(flushes)
            let store = try await open()
            for flush in flushes { try await demand(store.flush(flush.id), is: flush, "flush") }
            try await demand(store.flushes(FlushQuery()), is: flushes.reversed(), "flushes")
        },
        Case("every state, mode and way comes back") { open in
            var flushes: [Flush] = []
            for state in Flush.State.allCases {
                for mode in Flush.Mode.allCases {
                    for via in FlushRequest.Way.allCases {
                        var flush = Samples.flush(flushes.count, state: state)
                        flush.mode = mode
                        flush.via = via
                        flushes.append(flush)
                    }
                }
            }
            try await open().save(flushes)
            try await demand(open().flushes(FlushQuery()), is: flushes.reversed(), "flushes")
        },
        Case("what belongs to an answer is not kept") { open in
            var flush = Samples.flush(1)
            flush.coalesced = true
            flush.dryRun = true
            let store = try await open()
            try await store.save([flush])
            try await demand(store.flush(flush.id), is: Samples.flush(1), "flush")
        },
        Case("a flush that is saved again takes its older version's place") { open in
            let store = try await open()
            try await store.save([Samples.flush(1, state: .running), Samples.flush(2)])
            try await store.save([Samples.flush(1, state: .finished)])
            try await demand(store.flushes(FlushQuery()), is: [Samples.flush(2), Samples.flush(1)], "flushes")
            var twice = Samples.flush(2)
            twice.matched = 5
            try await store.save([Samples.flush(2), twice])
            try await demand(store.flush(twice.id), is: twice, "the last in a batch")
        },
        Case("flushes come newest first, page by page") { open in
            let store = try await open()
            try await store.save([3, 1, 10, 2, 7].map { Samples.flush($0) })
            let first = try await store.flushes(FlushQuery(limit: 2))
            try demand(first.map(\.id), is: [10, 7].map(Samples.flushID), "first page")
            let second = try await store.flushes(FlushQuery(before: first.last?.id, limit: 2))
            try demand(second.map(\.id), is: [3, 2].map(Samples.flushID), "second page")
            let third = try await store.flushes(FlushQuery(before: second.last?.id, limit: 2))
            try demand(third.map(\.id), is: [Samples.flushID(1)], "third page")
            try await demand(store.flushes(FlushQuery(before: Samples.flushID(1))), is: [], "behind the last")
            try await demand(store.flushes(FlushQuery(limit: 0)), is: [], "limit 0")
            try await demand(store.flushes(FlushQuery(limit: -1)), is: [], "limit -1")
        },
        Case("domain and state filter, together too") { open in
            let store = try await open()
            try await store.save([
                Samples.flush(1, .domain(branch, subdomains: false)), Samples.flush(2, .domain(branch, subdomains: true), state: .running),
                Samples.flush(3, .domain(ship, subdomains: false), state: .running), Samples.flush(4, .everything),
                Samples.flush(5, .message(Samples.queueID(1)), state: .running), Samples.flush(6, .domain(branch, subdomains: false)),
            ])
            func numbers(_ query: FlushQuery) async throws -> [FlushID] { try await store.flushes(query).map(\.id) }
            try await demand(numbers(FlushQuery(domain: branch)), is: [6, 2, 1].map(Samples.flushID), "domain")
            try await demand(numbers(FlushQuery(state: .running)), is: [5, 3, 2].map(Samples.flushID), "state")
            try await demand(numbers(FlushQuery(domain: branch, state: .running)), is: [Samples.flushID(2)], "both")
            try await demand(
                numbers(FlushQuery(domain: branch, before: Samples.flushID(6), limit: 1)), is: [Samples.flushID(2)], "domain, a page")
            try await demand(numbers(FlushQuery(domain: Samples.domain("example"))), is: [], "a parent has none of its own")
        },
        Case("the last flush of each domain is told") { open in
            try await open().save([
                Samples.flush(4, .domain(branch, subdomains: false)), Samples.flush(9, .domain(branch, subdomains: true), state: .running),
                Samples.flush(7, .domain(ship, subdomains: false)), Samples.flush(20, .everything),
                Samples.flush(21, .message(Samples.queueID(1))), Samples.flush(5, .domain(ship, subdomains: false)),
            ])
            let expected = [
                branch: Samples.flush(9, .domain(branch, subdomains: true), state: .running),
                ship: Samples.flush(7, .domain(ship, subdomains: false)),
            ]
            try await demand(open().lastFlushes(), is: expected, "last flushes")
        },
        Case("what ran when the process ended is interrupted, with the counts it had") { open in
            var running = Samples.fullFlush(2, .everything)
            running.state = .running
            running.finishedAt = nil
            try await open().save([Samples.flush(1), running, Samples.flush(3, state: .running), Samples.flush(4, state: .cancelled)])
            let store = try await open()
            try await demand(store.interruptRunning(at: time), is: 2, "interrupted")
            running.state = .interrupted
            running.finishedAt = time
            try await demand(store.flush(running.id), is: running, "an interrupted flush")
            try await demand(store.flush(Samples.flushID(1)), is: Samples.flush(1), "a finished flush")
            try await demand(store.flushes(FlushQuery(state: .running)), is: [], "running")
            try await demand(store.interruptRunning(at: time), is: 0, "interrupted again")
        },
        Case("trimming drops the oldest") { open in
            let store = try await open()
            try await store.save([5, 2, 9, 4].map { Samples.flush($0) })
            try await store.trim(to: 10)
            try await demand(store.flushes(FlushQuery()).count, is: 4, "to more than there are")
            try await store.trim(to: 4)
            try await demand(store.flushes(FlushQuery()).count, is: 4, "to as many as there are")
            try await store.trim(to: 2)
            try await demand(store.flushes(FlushQuery()).map(\.id), is: [9, 5].map(Samples.flushID), "to two")
            try await store.trim(to: 0)
            try await demand(store.flushes(FlushQuery()), is: [], "to none")
        },
    ]

    private static let branch = Samples.domain("branch.example")
    private static let ship = Samples.domain("ship.example")
    private static let time = Timestamp(microseconds: 1_900_000_000_000_007)
}
