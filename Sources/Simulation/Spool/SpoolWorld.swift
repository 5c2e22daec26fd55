// The second world: the spool below the core; mail comes in, waits, is asked for, goes out, is reported about.

import FlushCore
import FlushTesting
import SpoolQueue

/// One seed's story.
// @unchecked: the simulation has one thread.
final class SpoolWorld: @unchecked Sendable {
    static let domains = [Sites.branch, Sites.ship, Sites.office]
    private static let actions = 24
    private static let maximumMails = 12
    /// A message's name; a report's is longer and begins with it.
    private static let idLength = 11

    let machine: Machine
    let ledger = Ledger()
    let sites: Sites
    var process: SpoolProcess
    var tally = Tally()
    private let parameters: SpoolParameters
    var oldFlushes: [FlushID] = []

    init(_ machine: Machine) throws {
        self.machine = machine
        sites = Sites(machine: machine, ledger: ledger)
        var parameters = SpoolParameters(myhostname: "relay.example")
        if machine.isLucky(oneIn: 2) { parameters.relayhost = try NextHop(parsing: "[\(Sites.reporter)]:25") }
        parameters.minimalBackoffTime = .seconds(5)
        parameters.maximalBackoffTime = .seconds(20)
        parameters.queueRunDelay = .seconds(30)
        parameters.maximalQueueLifetime = machine.isLucky(oneIn: 4) ? .seconds(40) : .seconds(100_000)
        parameters.deliveryConcurrency = 1 + machine.chance(4)
        self.parameters = parameters
        process = try SpoolProcess(machine, sites: sites, ledger: ledger, parameters: parameters, history: [CoreWorld.lastFlush])
        try machine.settle()
    }

    func run() throws -> Tally {
        for _ in 0..<Self.actions {
            try act()
            machine.run(some: 30)
            try revive()
        }
        try finish()
        tally.messages = ledger.mails.count
        tally.reports = ledger.reports.count
        for mail in ledger.mails {
            for count in mail.deliveries.values {
                tally.deliveries += count
                if count > 1 { tally.duplicates += 1 }
            }
        }
        return tally
    }

    // MARK: Lives

    /// A new process after a crash, or after a start that failed; it may crash, too.
    func revive() throws {
        if process.failedToStart != nil, !machine.disk.hasCrashed {
            machine.trace.note("not started", process.failedToStart ?? "")
            machine.disk.errorRate = 0
            machine.disk.crash(.kill)
        }
        while machine.disk.hasCrashed {
            try process.bury()
            ledger.crashed(mayForgetAll: hasDiskFailed)
            try restart()
            try machine.settle()
        }
    }

    /// A disk that has failed may have kept for itself what the spool knew.
    var hasDiskFailed: Bool { machine.disk.counts.inputErrors > 0 }

    func restart() throws {
        oldFlushes += process.flushes
        machine.trace.note("starts")
        let failing = machine.disk.errorRate
        // A disk that fails at the start keeps a process from starting, which is no story.
        machine.disk.errorRate = 0
        do {
            process = try SpoolProcess(machine, sites: sites, ledger: ledger, parameters: parameters, history: process.history.kept)
        } catch {
            guard machine.disk.hasCrashed else { throw Violation("a process does not start: \(error)") }
            return
        }
        try machine.settle()
        guard !machine.disk.hasCrashed else { return }
        guard process.isReady else { throw Violation("a process is not ready: \(process.failedToStart ?? "it hangs")") }
        let left = machine.disk.files(in: "\(SpoolProcess.spoolFolder)/tmp").keys.sorted()
        guard left.isEmpty else { throw Violation("after a start there is still \(left) in tmp") }
        machine.disk.errorRate = failing
    }

    // MARK: What happens

    private func act() throws {
        switch machine.chance(34) {
        case 0..<8: send()
        case 8..<13: flush()
        case 13: for _ in 0..<2 + machine.chance(5) { flush() }
        case 14..<19: try machine.pass(.milliseconds(machine.chance(4_000)), of: process.time)
        case 19..<21: try machine.pass(.seconds(machine.chance(25)), of: process.time)
        case 21..<23:
            let host = "mail.\(machine.choice(Self.domains) ?? Sites.branch)"
            if sites.away.remove(host) == nil { sites.away.insert(host) }
        case 23: if sites.away.remove(Sites.reporter) == nil { sites.away.insert(Sites.reporter) }
        case 24..<26: crash()
        case 26:
            machine.disk.isFull = machine.isLucky(oneIn: 3)
            machine.disk.errorRate = machine.isLucky(oneIn: 3) ? machine.chance(40) : 0
        case 27: holdByHand()
        case 28: removeByHand()
        case 29: removeByRequest()
        case 30:
            guard let id = machine.choice(process.flushes) else { return }
            process.ask { _ = try await $0.cancel(id) }
        case 31: machine.clock.jump(by: .seconds(machine.chance(60) - 30))
        case 32: process.ask { await $0.reconcile() }
        default:
            tally.restarts += 1
            try process.stop()
            ledger.crashed(mayForgetAll: hasDiskFailed)
            guard !machine.disk.hasCrashed else { return }
            try restart()
        }
    }

    private func send() {
        guard ledger.mails.count < Self.maximumMails else { return }
        var domains = [machine.choice(Self.domains) ?? Sites.branch]
        while machine.isLucky(oneIn: 3), domains.count < 4, let more = machine.choice(Self.domains) { domains.append(more) }
        let sender = machine.isLucky(oneIn: 5) ? "" : "s\(ledger.mails.count)@origin.example"
        let mail = ledger.add(sender: sender, domains: domains, size: machine.isLucky(oneIn: 4) ? 700 : 60)
        machine.trace.note("sends", mail.number, domains.count, text: "\(mail.recipients)")
        process.send(mail, to: ledger)
    }

    private func flush() {
        let domain = machine.choice(Self.domains) ?? Sites.branch
        let selector: FlushSelector = machine.isLucky(oneIn: 6) ? .everything : .domain(domain, subdomains: machine.isLucky(oneIn: 3))
        tally.flushes += 1
        let process = process
        process.ask { server in
            let flush = try await server.flush(FlushRequest(selector, via: .smtp, requestedBy: "simulation"))
            process.flushes.append(flush.id)
        }
    }

    private func crash() {
        let crash = machine.isLucky(oneIn: 2) ? SimulatedDisk.Crash.kill : .power
        if machine.isLucky(oneIn: 4) { machine.disk.crash(crash) } else { machine.disk.planCrash(crash, within: machine.chance(40)) }
    }

    // MARK: Operators

    func folder(_ name: String) -> String { "\(SpoolProcess.spoolFolder)/\(name)" }

    /// One of the files in these directories: its directory and its name.
    private func file(in folders: [String]) -> (String, String)? {
        var found: [(String, String)] = []
        for place in folders.map(folder) {
            for name in machine.disk.files(in: place).keys.sorted() { found.append((place, name)) }
        }
        return machine.choice(found)
    }

    private func holdByHand() {
        guard let (place, name) = file(in: ["deferred", "hold"]) else { return }
        machine.disk.moveByHand(name, from: place, to: folder(place == folder("hold") ? "deferred" : "hold"))
    }

    private func removeByHand() {
        guard machine.isLucky(oneIn: 2), let (place, name) = file(in: ["deferred", "hold", "incoming"]) else { return }
        // A report is removed with what it reports about.
        ledger.takenAway.insert(String(name.prefix(Self.idLength)))
        machine.disk.moveByHand(name, from: place, to: nil)
    }

    private func removeByRequest() {
        guard let (_, name) = file(in: ["deferred", "hold"]), let id = QueueID(name) else { return }
        ledger.takenAway.insert(String(name.prefix(Self.idLength)))
        process.ask { try await $0.remove(id) }
    }
}
