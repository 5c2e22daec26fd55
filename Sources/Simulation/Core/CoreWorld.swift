// The first world: the core, its index and its log files, beside a queue that somebody else runs.

import FlushCore
import FlushTesting

/// One seed's story: things happen, in the middle of one another, and in the end everything must add up.
// @unchecked: the simulation has one thread.
final class CoreWorld: @unchecked Sendable {
    static let fast = ["branch.example", "ship.example", "www.ship.example"].map { Samples.domain($0) }
    static let domains = fast + [Samples.domain("elsewhere.example")]
    private static let actions = 30

    let machine: Machine
    let truth: QueueTruth
    var process: CoreProcess
    var tally = Tally()
    /// Flushes of processes that have died.
    var oldFlushes: [FlushID] = []
    private let policy: FlushPolicy

    init(_ machine: Machine) throws {
        self.machine = machine
        truth = QueueTruth(machine: machine)
        let list = DomainList(parsing: Self.fast.map(\.description).joined(separator: ", "), mode: .exact) { path throws(DomainList.UnreadableFile) in
            throw .init(reason: "no \(path)")
        }
        policy = FlushPolicy(fastFlushDomains: list, relayDomains: list, slowFlush: .permit)
        if machine.isLucky(oneIn: 2) {
            truth.newsLoss = machine.chance(40)
            truth.newsDelay = machine.chance(60)
        }
        process = try CoreProcess(machine, truth: truth, policy: policy, history: [Self.lastFlush])
    }

    /// A flush from the far future: names of flushes then count up from its name, without the system's chance.
    static var lastFlush: Flush {
        var flush = Samples.flush(1, .domain(Samples.domain("nowhere.example"), subdomains: false))
        flush.id = FlushID("7" + String(repeating: "0", count: FlushID.length - 1)) ?? flush.id
        return flush
    }

    func run() throws -> Tally {
        for _ in 0..<Self.actions {
            try act()
            machine.run(some: 25)
            if machine.disk.hasCrashed { try revive() }
        }
        try finish()
        tally.messages = truth.made
        return tally
    }

    // MARK: Lives

    /// A new process after a crash; it may crash, too.
    func revive() throws {
        while machine.disk.hasCrashed {
            try process.bury(in: machine)
            try restart()
        }
    }

    private func restart() throws {
        oldFlushes += process.flushes
        let kept = process.history.kept
        truth.forgetLate()
        machine.trace.note("starts", kept.count)
        do {
            process = try CoreProcess(machine, truth: truth, policy: policy, history: kept)
        } catch {
            guard machine.disk.hasCrashed else { throw Violation("a process does not start: \(error)") }
        }
    }

    // MARK: What happens

    private func act() throws {
        switch machine.chance(40) {
        case 0..<8: arrive()
        case 8..<10: try addWhileTheDiskStands()
        case 10..<14: flush(machine.choice(selectors))
        case 14:
            for _ in 0..<3 + machine.chance(8) { flush(machine.choice(selectors)) }
        case 15..<22: endAttempts(atMost: 4)
        case 22: if let id = machine.choice(truth.ids) { truth.toggleHold(id) }
        case 23: if let id = machine.choice(truth.ids) { truth.takeAway(id) }
        case 24:
            guard let id = machine.choice(truth.ids) else { return }
            process.ask { try await $0.remove(id) }
        case 25:
            guard let id = machine.choice(process.flushes) else { return }
            process.ask { _ = try await $0.cancel(id) }
        case 26..<30: try machine.pass(.milliseconds(machine.chance(3_000)), of: process.time)
        case 30: try machine.pass(.seconds(machine.chance(15)), of: process.time)
        case 31: truth.tellLate(atMost: 5)
        case 32..<34: disturbTheDisk()
        case 34..<36: crash()
        case 36: machine.clock.jump(by: .seconds(machine.chance(4_000) - 2_000))
        case 37: process.ask { _ = await $0.domains(DomainQuery()) }
        case 38:
            let isRefresh = machine.isLucky(oneIn: 2)
            process.ask { server in _ = await isRefresh ? server.refresh() : server.purge() }
        default:
            if machine.isLucky(oneIn: 2) {
                truth.isBroken.toggle()
            } else {
                tally.restarts += 1
                try process.stop(in: machine)
                try restart()
            }
        }
    }

    private var selectors: [FlushSelector] {
        var selectors: [FlushSelector] = [.domain(Self.fast[1], subdomains: true), .everything]
        for domain in Self.domains { selectors.append(.domain(domain, subdomains: false)) }
        if let id = truth.ids.first { selectors.append(.message(id)) }
        return selectors
    }

    private func arrive() {
        var domains = [machine.choice(Self.domains) ?? Self.fast[0]]
        if machine.isLucky(oneIn: 3), let second = machine.choice(Self.domains), second != domains[0] { domains.append(second) }
        let id = truth.arrive(for: domains)
        guard machine.isLucky(oneIn: 2) else { return }
        tally.adds += 1
        let (domain, server) = (domains[0], process.server)
        process.ask { _ in await server.add(id, to: domain) }
    }

    /// An add is answered from memory: not even a disk that stands still keeps it waiting.
    private func addWhileTheDiskStands() throws {
        // Also for a message that nobody has: a client may say what it likes.
        let id = machine.choice(truth.ids) ?? Samples.queueID(1_000_000 + machine.chance(10))
        let (domain, server) = (machine.choice(Self.domains) ?? Self.fast[0], process.server)
        tally.adds += 1
        let answer = machine.ask { await server.add(id, to: domain) }
        while answer.result == nil, machine.scheduler.step(diskStands: true) {}
        guard answer.result != nil else { throw Violation("an add waits for the disk") }
    }

    private func flush(_ selector: FlushSelector?) {
        guard let selector else { return }
        tally.flushes += 1
        let process = process
        process.ask { server in
            let flush = try await server.flush(FlushRequest(selector, via: .http, requestedBy: "simulation"))
            process.flushes.append(flush.id)
        }
    }

    private func endAttempts(atMost count: Int) {
        for _ in 0..<count { if let id = machine.choice(truth.attempts.keys.sorted()) { truth.endAttempt(on: id) } }
    }

    private func disturbTheDisk() {
        machine.disk.isFull = machine.isLucky(oneIn: 3)
        machine.disk.errorRate = machine.isLucky(oneIn: 3) ? machine.chance(60) : 0
    }

    private func crash() {
        let crash = machine.isLucky(oneIn: 2) ? SimulatedDisk.Crash.kill : .power
        if machine.isLucky(oneIn: 3) { machine.disk.crash(crash) } else { machine.disk.planCrash(crash, within: machine.chance(20)) }
    }
}
