// The end of a story in the first world: the trouble is over, and everything must add up.

import FlushCore

extension CoreWorld {
    /// Longer than the time after which a flush that hears nothing ends, a scheduled one included.
    private static let patience = Duration.seconds(25)

    func finish() throws {
        machine.trace.note("the end begins")
        truth.newsLoss = 0
        truth.newsDelay = 0
        truth.tellLate(atMost: .max)
        truth.isBroken = false
        machine.disk.isFull = false
        machine.disk.errorRate = 0
        // A crash that was planned may still come.
        try calmDown()
        machine.disk.forgetPlannedCrash()
        try compare("after the story")
        if machine.isLucky(oneIn: 2) {
            machine.disk.crash(machine.isLucky(oneIn: 2) ? .power : .kill)
            try revive()
            try calmDown()
            try compare("after a last crash")
        }
        try process.stop(in: machine)
        try checkLogs()
    }

    /// Lets everything that is under way come to its end, and the index be compared with the queue.
    private func calmDown() throws {
        var isCalm = false
        while !isCalm {
            try machine.pass(Self.patience, of: process.time) { endAllAttempts() }
            endAllAttempts()
            if !machine.disk.hasCrashed {
                process.ask { await $0.reconcile() }
                try machine.pass(.seconds(3), of: process.time) { endAllAttempts() }
            }
            isCalm = !machine.disk.hasCrashed
            if !isCalm { try revive() }
        }
    }

    private func endAllAttempts() { for id in truth.attempts.keys.sorted() { truth.endAttempt(on: id) } }

    // MARK: What must be true

    private func compare(_ when: String) throws {
        guard process.openRequests == 0 else { throw Violation("\(when): \(process.openRequests) requests have no answer") }
        let (server, flushes, old, truth) = (process.server, process.flushes, oldFlushes, truth)
        let problem = try machine.answer { () async throws -> String? in
            if let problem = await Self.problem(of: server, flushes, truth) { return problem }
            for id in old {
                let flush = try await server.flush(id, waitingFor: .zero)
                if flush?.state == .running { return "\(id) of a dead process still runs" }
            }
            return nil
        }
        if let problem = problem ?? nil { throw Violation("\(when): \(problem)") }
        try checkLogs()
    }

    private static func problem(of server: FlushServer, _ flushes: [FlushID], _ truth: QueueTruth) async -> String? {
        let status = await server.status()
        if status.flushesRunning != 0 { return "\(status.flushesRunning) flushes run for ever" }
        if !status.isIndexComplete { return "the index is not complete" }
        if status.messages != truth.count { return "\(status.messages) messages are counted instead of \(truth.count)" }
        let bytes = truth.messages.values.map(\.size).reduce(0, +)
        if status.bytes != bytes { return "\(status.bytes) bytes are counted instead of \(bytes)" }
        for domain in domains {
            let expected = truth.messages(for: domain)
            let detail = await server.domain(domain)
            let counted = (detail?.summary.messages ?? 0, detail?.summary.bytes ?? 0)
            if counted != (expected.count, expected.map(\.size).reduce(0, +)) {
                return "\(domain) has \(counted) messages and bytes recorded instead of \(expected.map(\.id))"
            }
            let page = try? await server.messages(for: domain, after: nil, limit: 1_000)
            let listed = Set((page?.messages ?? []).map(\.id))
            if listed != Set(expected.map(\.id)) { return "\(domain) has \(listed) recorded instead of \(expected.map(\.id))" }
        }
        for id in flushes {
            guard let flush = try? await server.flush(id, waitingFor: .zero) else { return "the flush \(id) is not known" }
            if flush.state == .running { return "\(id) runs for ever" }
            let settled = flush.delivered + flush.deferredAgain + flush.bounced + flush.departed + flush.open
            if flush.released != settled { return "\(id) has released \(flush.released), and tells of \(settled)" }
            if flush.unreleased < 0 { return "\(id) tells of more than the \(flush.matched) that it matched" }
        }
        return nil
    }

    /// The files name every message that waits, there is none for a domain for which nothing waits, and nothing else is left.
    private func checkLogs() throws {
        let files = machine.disk.files(in: CoreProcess.logFolder)
        let names = Set(files.keys)
        let expected = Set(Self.domains.filter { !truth.messages(for: $0).isEmpty }.map(\.description))
        guard names == expected else { throw Violation("the log files are \(names.sorted()) instead of \(expected.sorted())") }
        for domain in Self.domains {
            let lines = Set(String(decoding: files[domain.description] ?? [], as: UTF8.self).split(separator: "\n").map(String.init))
            let missing = truth.messages(for: domain).filter { !lines.contains($0.id.description) }
            guard missing.isEmpty else { throw Violation("the log file of \(domain) does not have \(missing.map(\.id))") }
        }
    }
}
