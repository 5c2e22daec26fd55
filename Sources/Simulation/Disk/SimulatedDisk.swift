// A disk that crashes: what was not synced may be lost, whole or in part, file by file and name by name.

import FlushCore
import FlushTesting
import Glibc
import SystemPackage

/// The disk of a simulated machine, which outlives the machine's processes.
///
/// Files and names are independent: a file's content may be lost while its name is kept, and the other way round. Changes of one file's
/// names, and of one name, reach the disk in their order; a rename is one change, as the spool relies on.
// @unchecked: the simulation has one thread.
final class SimulatedDisk: @unchecked Sendable {
    /// How a process comes to its end.
    enum Crash: Int, CaseIterable {
        /// kill -9: what was written is in the system's hands.
        case kill
        /// The machine loses power.
        case power
    }

    struct Counts {
        var operations = 0
        var kills = 0
        var powerCuts = 0
        var tornWrites = 0
        var lostWrites = 0
        var lostNames = 0
        var fullErrors = 0
        var inputErrors = 0
        var failedSyncs = 0
    }

    let clock: SimulatedClock
    let trace: Trace
    var counts = Counts()
    /// Chances in 256 that an operation fails.
    var errorRate = 0
    var isFull = false

    private var random: SeededRandom
    private let root: Inode
    private var lastNumber = 0
    private var pendingNames: [NameChange] = []
    /// The operation within which the process ends; counted from now.
    private var operationsLeft: Int?
    private var plannedCrash = Crash.kill
    /// Which process the disk serves; an older one is dead.
    private(set) var generation = 0
    private(set) var hasCrashed = false
    /// Paths of locked files.
    var locked: Set<String> = []

    init(clock: SimulatedClock, trace: Trace, random: SeededRandom) {
        self.clock = clock
        self.trace = trace
        self.random = random
        root = Inode(number: 0, isFolder: true, parent: nil, now: Self.time(of: clock))
    }

    // MARK: Processes

    /// A view of the disk for a new process.
    func boot() -> SimulatedMount {
        // What an earlier process still does reaches the disk no more.
        generation += 1
        hasCrashed = false
        operationsLeft = nil
        locked = []
        return SimulatedMount(disk: self, generation: generation, root: root)
    }

    /// Ends the process within one of its next operations.
    func planCrash(_ crash: Crash, within operations: Int) {
        plannedCrash = crash
        operationsLeft = operations
    }

    func forgetPlannedCrash() { operationsLeft = nil }

    /// Ends the process now: nothing of what it does from here on reaches the disk.
    func crash(_ crash: Crash) {
        guard !hasCrashed else { return }
        generation += 1
        hasCrashed = true
        operationsLeft = nil
        trace.note("crash", crash.rawValue, text: "\(crash)")
        switch crash {
        case .kill: counts.kills += 1
        case .power:
            counts.powerCuts += 1
            losePower()
        }
    }

    // MARK: Looking

    /// The files of a directory as a process would see them; for checks.
    func files(in folder: String) -> [String: [UInt8]] {
        (self[folder]?.entries ?? [:]).filter { !$0.value.isFolder }.mapValues(\.content)
    }

    /// Moves or removes a file by hand, whatever a process is doing with it.
    func moveByHand(_ name: String, from folder: String, to other: String?) {
        guard let source = self[folder], let file = source.entries[name] else { return }
        trace.note("by hand", file.number, text: "\(folder)/\(name) to \(other ?? "nowhere")")
        var edits = [NameChange.Edit(folder: source, name: name, old: file, new: nil)]
        if let other, let target = self[other] { edits.append(.init(folder: target, name: name, old: target.entries[name], new: file)) }
        change(edits)
    }

    private subscript(folder: String) -> Inode? {
        folder.split(separator: "/").reduce(Optional(root)) { $0?.entries[String($1)] }
    }

    // MARK: Power

    private func losePower() {
        // Some crashes lose all that may be lost, some nothing, most something.
        let keeping = [0, 64, 128, 192, 256][Int(chance(5))]
        var lost: [NameChange] = []
        for change in pendingNames {
            if chance(256) < keeping, !lost.contains(where: { $0.isTied(to: change) }) { change.makeDurable() } else { lost.append(change) }
        }
        counts.lostNames += lost.count
        pendingNames = []
        var seen: Set<Int> = []
        visit(root, &seen) { inode in
            inode.losePower { _ in
                guard chance(256) >= keeping else { return .kept }
                switch chance(3) {
                case 0:
                    counts.tornWrites += 1
                    return .torn(Int(chance(64)))
                case 1:
                    counts.lostWrites += 1
                    return .zeroed
                default:
                    counts.lostWrites += 1
                    return .lost
                }
            }
        }
    }

    /// Every file and directory that a name leads to, durably or not, in a fixed order.
    private func visit(_ inode: Inode, _ seen: inout Set<Int>, _ body: (Inode) -> Void) {
        guard seen.insert(inode.number).inserted else { return }
        let below = (Array(inode.durableEntries) + Array(inode.entries)).sorted { ($0.key, $0.value.number) < ($1.key, $1.value.number) }
        body(inode)
        for (_, child) in below { visit(child, &seen, body) }
    }

    // MARK: Operations

    /// Before each system call: the process may be dead, or die here, or the disk may fail.
    ///
    /// - Parameter grows: room is needed, which a full disk does not have.
    /// - Returns: whether the process dies within this call.
    func begin(_ operation: StaticString, _ generation: Int, _ inode: Inode, grows: Bool = false, mayFail: Bool = true) throws(Errno) -> Bool {
        guard generation == self.generation else { throw .ioError }
        counts.operations += 1
        if let left = operationsLeft {
            operationsLeft = left - 1
            if left <= 0 {
                trace.note("dies in", inode.number, text: "\(operation)")
                return true
            }
        }
        if grows, isFull {
            counts.fullErrors += 1
            trace.note("full", inode.number, text: "\(operation)")
            throw .noSpace
        }
        if mayFail, errorRate > 0, chance(256) < errorRate {
            counts.inputErrors += 1
            trace.note("error", inode.number, text: "\(operation)")
            throw .ioError
        }
        return false
    }

    /// The process dies in a call, whose effect was there or not.
    func die() -> Errno {
        crash(plannedCrash)
        return .ioError
    }

    func chance(_ bound: UInt64) -> Int { Int(random.next() % bound) }

    func makeInode(isFolder: Bool, parent: Inode?) -> Inode {
        lastNumber += 1
        return Inode(number: lastNumber, isFolder: isFolder, parent: parent, now: now)
    }

    var now: timespec { Self.time(of: clock) }

    private static func time(of clock: SimulatedClock) -> timespec {
        timespec(tv_sec: Int(clock.now.seconds), tv_nsec: Int(clock.now.microseconds - clock.now.seconds * 1_000_000) * 1_000)
    }

    /// Changes names, for all to see at once, for the disk not yet.
    func change(_ edits: [NameChange.Edit]) {
        for edit in edits { edit.folder.entries[edit.name] = edit.new }
        pendingNames.append(NameChange(edits: edits))
    }

    /// Makes a directory's changes durable, and those that they cannot be without.
    func sync(_ folder: Inode) {
        var needed: [NameChange] = []
        var left: [NameChange] = []
        for change in pendingNames.reversed() {
            if change.concerns(folder) || needed.contains(where: { $0.isTied(to: change) }) { needed.append(change) } else { left.append(change) }
        }
        for change in needed.reversed() { change.makeDurable() }
        pendingNames = left.reversed()
    }
}
