// From a request to the queue's hearing of it, whatever else is recorded.

import DispatchSockets
import FlushCore

/// Flushes of a domain with ten messages, one after the other, while `messages` are recorded in all.
struct Releases {
    static let wanted = 10
    /// The other messages are spread over so many domains.
    private static let others = 2_000
    private static let patience: Duration = .seconds(30)

    let messages: Int
    let flushes: Int

    func measure() async throws {
        let loop = try EventLoop(label: "benchmark")
        let queue = WillingQueue()
        let core = Bench.core(queue: queue, logs: NoLogs(), loop: loop)
        try await core.start()
        let site = Bench.domain(Self.others)
        let names = (0..<Self.others).map { Bench.domain($0) }
        await loop.run {
            core.assumeIsolated { core in
                for number in 0..<messages {
                    // In the midst of all, one here and one there.
                    let isWanted = number % (messages / Self.wanted) == 0 && number / (messages / Self.wanted) < Self.wanted
                    core.add(Bench.queueID(number), to: isWanted ? site : names[number % Self.others])
                }
            }
        }
        // What was recorded is written behind, once.
        try await Task.sleep(for: .milliseconds(2_500))
        let times = try await Task(executorPreference: loop) { try await follow(core, queue, site) }.value.sorted()
        print(
            """
            {"messages": \(messages), "flushes": \(flushes), "median_us": \(times[times.count / 2] * 1e6), \
            "p99_us": \(times[times.count * 99 / 100] * 1e6)}
            """)
        await core.stop()
    }

    private func follow(_ core: FlushServer, _ queue: WillingQueue, _ site: DomainName) async throws -> [Double] {
        var times: [Double] = []
        for number in 0..<flushes {
            let begin = Machine.now
            let request = FlushRequest(.domain(site, subdomains: false), via: .http, requestedBy: "benchmark")
            let flush = try await core.flush(request)
            guard flush.matched == Self.wanted else { throw Failure("flush \(number) matched \(flush.matched) messages") }
            let ended = try await core.flush(flush.id, waitingFor: Self.patience)
            guard ended?.state == .finished, ended?.deferredAgain == Self.wanted, let heard = queue.lastRelease else {
                throw Failure("flush \(number) ended as \(String(describing: ended))")
            }
            times.append(heard - begin)
        }
        return times
    }
}
