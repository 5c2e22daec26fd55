// What both measurements are made of: a core, a queue that is always willing, names, clocks.

import DispatchSockets
import FlushCore
import FlushTesting
import Glibc
import Synchronization

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

enum Bench {
    private static let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    static func core(queue: WillingQueue, logs: any FlushLogStore, loop: EventLoop) -> FlushServer {
        let fast = DomainList(parsing: "bench.test", mode: .parentDomains) { _ throws(DomainList.UnreadableFile) in "" }
        let policy = FlushPolicy(fastFlushDomains: fast, relayDomains: fast, slowFlush: .permit)
        return FlushServer(
            policy: policy, queue: queue, logs: logs, history: InMemoryFlushHistoryStore(), relayDomains: InMemoryRelayDomainStore(),
            time: MachineTime(), executor: loop)
    }

    static func domain(_ number: Int) -> DomainName { Samples.domain("d\(number).bench.test") }

    /// Eleven characters as the spool's, different for each number.
    static func queueID(_ number: Int) -> QueueID {
        var rest = 6_500_000_000_000_000 + number * 37
        var text = [UInt8](repeating: 0x30, count: 11)
        for place in text.indices.reversed() {
            text[place] = digits[rest % 62]
            rest /= 62
        }
        return QueueID(String(decoding: text, as: UTF8.self)) ?? Samples.queueID(number)
    }
}

/// Releases whatever it is asked for, and at once tells that it has failed again.
final class WillingQueue: MailQueue {
    private let buffer = EventBuffer()
    private let heard = Mutex<Double?>(nil)

    /// When it was last asked.
    var lastRelease: Double? { heard.withLock { $0 } }
    var events: AsyncStream<QueueEvent> { buffer.stream }

    func release(
        _ ids: [QueueID], by flush: FlushID?, for selector: FlushSelector, unthrottle: Bool
    ) async throws(MailQueueError) -> [ReleaseResult] {
        heard.withLock { $0 = Machine.now }
        guard case .domain(let domain, _) = selector else { throw .unsupported("only flushes of a domain") }
        for id in ids {
            let waiting = QueuedMessage(id: id, place: .deferred, arrival: Timestamp(seconds: 1_800_000_000), size: 1_000, domains: [domain])
            buffer.send(.attempted(DeliveryAttempt(id: id, flush: flush, remaining: waiting, outcomes: [DomainOutcome(domain: domain, deferred: 1)])))
        }
        return ids.map { _ in .released }
    }

    /// What is recorded here is in no queue: a scan that told so would empty the index.
    func scan(_ receive: @Sendable ([QueuedMessage]) async -> Void) async throws(MailQueueError) { throw .unavailable("there is nothing to scan") }
    func describe(_ ids: [QueueID]) async throws(MailQueueError) -> [MessageDescription] { [] }
    func trouble() async -> String? { nil }
    var isKnownToBeReady: Bool { true }
    func remove(_ id: QueueID) async throws(MailQueueError) { throw .unsupported("nothing is removed here") }
}

/// Forgets at once.
struct NoLogs: FlushLogStore {
    func load(_ receive: @Sendable (DomainName, [QueueID]) async -> Void) async throws(StoreError) -> Int { 0 }
    func apply(_ changes: [FlushLogChange]) async throws(StoreError) {}
}

struct MachineTime: TimeSource {
    var now: Timestamp { Timestamp(microseconds: Int64(Machine.seconds(CLOCK_REALTIME) * 1e6)) }
    func sleep(for duration: Duration) async { try? await ContinuousClock().sleep(for: max(.zero, duration)) }
}

/// What the kernel knows of us.
enum Machine {
    static var now: Double { seconds(CLOCK_MONOTONIC) }
    static var threadSeconds: Double { seconds(CLOCK_THREAD_CPUTIME_ID) }
    static var processSeconds: Double { seconds(CLOCK_PROCESS_CPUTIME_ID) }

    static func seconds(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    static var residentBytes: Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 128)
        guard fgets(&text, CInt(text.count), file) != nil else { return 0 }
        let fields = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(getpagesize()) : 0
    }
}
