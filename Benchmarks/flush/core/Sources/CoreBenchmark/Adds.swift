// How fast messages are recorded, what a recorded one needs, and what writing it down behind costs.

import DispatchSockets
import FlushCore
import FlushStorage
import Glibc
import Logging

/// `messages` adds, spread over `domains`.
struct Adds {
    /// Adds in one go: as many as may come between two turns of a busy loop.
    private static let slice = 1_000
    /// Until nothing is behind any more; the core writes every second.
    private static let settling: Duration = .milliseconds(2_500)

    let messages: Int
    let domains: Int

    func measure(logsBelow directory: String?) async throws {
        let loop = try EventLoop(label: "benchmark")
        let pool = IOPool(label: "disk", width: 2)
        let logs: any FlushLogStore =
            if let directory { try DestinationLogs(stateDirectory: directory, pool: pool, logger: Logger(label: "flush")) } else { NoLogs() }
        let core = Bench.core(queue: WillingQueue(), logs: logs, loop: loop)
        try await core.start()
        let names = (0..<domains).map { Bench.domain($0) }
        try await Task.sleep(for: .milliseconds(200))

        let memory = Machine.residentBytes
        let processBefore = Machine.processSeconds
        var makingSeconds = 0.0
        var wall = 0.0
        var cpu = 0.0
        for start in stride(from: 0, to: messages, by: Self.slice) {
            let before = Machine.threadSeconds
            let batch = (start..<min(start + Self.slice, messages)).map { (Bench.queueID($0), names[Self.place($0, domains)]) }
            makingSeconds += Machine.threadSeconds - before
            let spent = await loop.run {
                let (begin, beginCPU) = (Machine.now, Machine.threadSeconds)
                core.assumeIsolated { core in
                    for (id, name) in batch { core.add(id, to: name) }
                }
                return (Machine.now - begin, Machine.threadSeconds - beginCPU)
            }
            wall += spent.0
            cpu += spent.1
        }
        try await Task.sleep(for: Self.settling)
        let recorded = await core.status().messages
        let held = Machine.residentBytes - memory
        await core.stop()
        // Making the IDs is the benchmark's own work.
        let process = Machine.processSeconds - processBefore - makingSeconds
        guard recorded == messages else { throw Failure("\(recorded) of \(messages) messages are recorded") }
        print(
            """
            {"messages": \(messages), "domains": \(domains), "seconds": \(wall), "cpu": \(cpu), "process_cpu": \(process), \
            "bytes_a_message": \(Double(held) / Double(messages))}
            """)
    }

    /// All over the domains, in an order that no table likes.
    private static func place(_ number: Int, _ domains: Int) -> Int {
        Int((UInt64(number) &* 0x9E37_79B9_7F4A_7C15 >> 20) % UInt64(domains))
    }
}
