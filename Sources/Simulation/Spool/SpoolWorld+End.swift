// The end of a story in the second world: what was accepted has arrived or was reported about, once, and nothing is left.

import FlushCore

extension SpoolWorld {
    private static let queueFolders = ["incoming", "active", "deferred", "hold"]
    /// How often everything is asked for before it must be gone.
    private static let rounds = 12
    /// Longer than a flush takes that hears nothing, a scheduled one included.
    private static let patience = Duration.seconds(15)

    func finish() throws {
        machine.trace.note("the end begins")
        machine.disk.isFull = false
        machine.disk.errorRate = 0
        sites.isPrompt = true
        try rest()
        // What a failing disk has not taken the spool knows, and the disk does not.
        if !hasDiskFailed { try compareIndex() }
        sites.isCalm = true
        for _ in 0..<Self.rounds where !isEmpty {
            for name in machine.disk.files(in: folder("hold")).keys.sorted() {
                machine.disk.moveByHand(name, from: folder("hold"), to: folder("deferred"))
            }
            process.ask { await $0.reconcile() }
            try rest()
            let process = process
            process.ask { process.flushes.append(try await $0.flush(FlushRequest(.everything, via: .http, requestedBy: "the end")).id) }
            try rest()
        }
        machine.disk.forgetPlannedCrash()
        try checkMail()
        try compareIndex()
        try process.stop()
        // What a failing disk, or somebody's hand, has left behind is gone after a start.
        try restart()
        try checkLeftovers()
        try process.stop()
    }

    /// Gives every flush the time to end, in a life without a crash.
    private func rest() throws {
        var life: Int
        repeat {
            life = machine.disk.generation
            try machine.pass(Self.patience, of: process.time)
            try revive()
        } while machine.disk.generation != life
    }

    private var isEmpty: Bool { Self.queueFolders.allSatisfy { machine.disk.files(in: folder($0)).isEmpty } }

    // MARK: The mail

    private func checkMail() throws {
        if let problem = ledger.problem { throw Violation(problem) }
        guard isEmpty else {
            let left = Self.queueFolders.flatMap { name in machine.disk.files(in: folder(name)).keys.map { "\(name)/\($0)" } }
            throw Violation("nobody gets rid of \(left.sorted())")
        }
        let kept = machine.disk.files(in: folder("bounces")).values.map { String(decoding: $0, as: UTF8.self) }
        let reports = ledger.reports.map { String(decoding: $0, as: UTF8.self) } + kept
        for mail in ledger.mails {
            for recipient in mail.recipients {
                let count = mail.deliveries[recipient, default: 0]
                let isReported = reports.contains { $0.contains(recipient) }
                if mail.isAccepted, !ledger.takenAway.contains(mail.id ?? ""), count == 0, !isReported {
                    throw Violation("\(recipient) never got message \(mail.id ?? "?"), and nobody was told")
                }
                if count > 1 + mail.repetitions[recipient, default: 0] {
                    let crashes = mail.repetitions[recipient, default: 0]
                    throw Violation("\(recipient) got message \(mail.id ?? "?") \(count) times, with \(crashes) crashes in its transmission")
                }
            }
        }
    }

    private func checkLeftovers() throws {
        for name in ["tmp", "corrupt", "defer"] {
            let left = machine.disk.files(in: folder(name)).keys.sorted()
            guard left.isEmpty else { throw Violation("\(name) still has \(left)") }
        }
    }

    // MARK: The index

    /// After a comparison with the spool the index has what the disk has.
    private func compareIndex() throws {
        process.ask { await $0.reconcile() }
        try machine.pass(.seconds(3), of: process.time)
        guard !machine.disk.hasCrashed else { return try revive() }
        guard process.openRequests == 0 else { throw Violation("\(process.openRequests) requests have no answer") }
        var expected: [DomainName: Int] = [:]
        var messages = 0
        for name in Self.queueFolders {
            for content in machine.disk.files(in: folder(name)).values {
                let pending = Self.pendingDomains(in: String(decoding: content, as: UTF8.self))
                if !pending.isEmpty { messages += 1 }
                for domain in pending { expected[domain, default: 0] += 1 }
            }
        }
        let (server, domains, flushes, count, counts) = (process.server, Self.domains, process.flushes + oldFlushes, messages, expected)
        let problem = try machine.answer { () async throws -> String? in
            let status = await server.status()
            if status.messages != count { return "\(status.messages) messages are counted, and \(count) are in the spool" }
            for domain in domains {
                let counted = await server.domain(domain)?.summary.messages ?? 0
                let wanted = counts[domain, default: 0]
                if counted != wanted { return "\(domain) has \(counted) messages recorded instead of \(wanted)" }
            }
            for id in flushes {
                let flush = try await server.flush(id, waitingFor: .zero)
                if flush?.state == .running { return "the flush \(id) never ends" }
            }
            return nil
        }
        if let problem = problem ?? nil { throw Violation(problem) }
    }

    /// Reads a queue file as a person would.
    private static func pendingDomains(in file: String) -> Set<DomainName> {
        let head = file.prefix { $0 != "\r\n" }.split(separator: "\n")
        let recipients = head.filter { $0.hasPrefix("rcpt ") }.map { $0.dropFirst("rcpt ".count) }
        let states = head.first { $0.hasPrefix("status ") }?.dropFirst("status ".count) ?? ""
        var pending: Set<DomainName> = []
        for (recipient, state) in zip(recipients, states) where state == "p" {
            if let at = recipient.lastIndex(of: "@"), let domain = DomainName(recipient[recipient.index(after: at)...]) { pending.insert(domain) }
        }
        return pending
    }
}
