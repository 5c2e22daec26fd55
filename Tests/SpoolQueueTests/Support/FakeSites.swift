// The customers' mail servers, as the engine's delivering side sees them.

import CurlTransport
import FlushCore
import Synchronization

@testable import SpoolQueue

/// Answers deliveries by recipient and by next hop, remembers them, and can keep them waiting.
final class FakeSites: Sendable {
    struct Record: Sendable, Equatable {
        var host: String
        var sender: String
        var recipients: [String]
        var content: [UInt8]
    }

    private struct State {
        var outcomes: [String: RecipientOutcome] = [:]
        var down: [String: String] = [:]
        var records: [Record] = []
        var isClosed = false
        var waiting: [CheckedContinuation<Void, Never>] = []
        var started = 0
        var running = 0
        var mostAtOnce = 0
        var watchers: [(Int, CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    /// What happened so far, at the end of each delivery that reached a site.
    var records: [Record] { state.withLock { $0.records } }
    var started: Int { state.withLock { $0.started } }
    /// Deliveries that wait for `open()`.
    var held: Int { state.withLock { $0.waiting.count } }
    var mostAtOnce: Int { state.withLock { $0.mostAtOnce } }

    func answer(_ recipient: String, _ outcome: RecipientOutcome?) { state.withLock { $0.outcomes[recipient] = outcome } }
    func setDown(_ host: String, _ reason: String?) { state.withLock { $0.down[host] = reason } }

    /// Deliveries wait from now on, until `open()`.
    func close() { state.withLock { $0.isClosed = true } }

    func open() {
        let waiting = state.withLock { state in
            state.isClosed = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns when so many deliveries have begun.
    func waitForStarted(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                if state.started >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isReady { continuation.resume() }
        }
    }

    func deliver(_ delivery: Delivery) async -> DeliveryResult {
        let ready = state.withLock { state in
            state.started += 1
            state.running += 1
            state.mostAtOnce = max(state.mostAtOnce, state.running)
            let count = state.started
            defer { state.watchers.removeAll { $0.0 <= count } }
            return state.watchers.filter { $0.0 <= count }
        }
        for (_, continuation) in ready { continuation.resume() }
        await withCheckedContinuation { continuation in
            let passes = state.withLock { state in
                if state.isClosed { state.waiting.append(continuation) }
                return !state.isClosed
            }
            if passes { continuation.resume() }
        }
        defer { state.withLock { $0.running -= 1 } }

        let host = delivery.nextHop.host
        if let reason = state.withLock({ $0.down[host] }) {
            return DeliveryResult(
                outcomes: delivery.recipients.map { _ in .deferred(reason: reason) }, siteReached: false, reason: reason)
        }
        var content: [UInt8] = []
        while let piece = try? await delivery.content.next(maximum: 4_096), !piece.isEmpty { content += piece }
        return state.withLock { state in
            let outcomes = delivery.recipients.map { state.outcomes[$0] ?? .delivered(reply: "250 2.0.0 Ok") }
            let accepted = zip(delivery.recipients, outcomes).filter { if case .delivered = $1 { true } else { false } }.map(\.0)
            if !accepted.isEmpty {
                state.records.append(Record(host: host, sender: delivery.sender, recipients: accepted, content: content))
            }
            return DeliveryResult(outcomes: outcomes, siteReached: true, reason: nil)
        }
    }
}

/// Routes that a test writes down.
final class FakeRoutes: MailRoutes {
    private let table: Mutex<[DomainName: MailRoute]>

    init(_ table: [String: MailRoute]) {
        self.table = Mutex(Dictionary(uniqueKeysWithValues: table.map { (DomainName($0.key)!, $0.value) }))
    }

    subscript(domain: String) -> MailRoute? {
        get { table.withLock { $0[DomainName(domain)!] } }
        set { table.withLock { $0[DomainName(domain)!] = newValue } }
    }

    func route(for domain: DomainName) -> MailRoute? {
        table.withLock { table in
            var name: DomainName? = domain
            while let candidate = name {
                if let route = table[candidate] { return route }
                name = candidate.parent
            }
            return nil
        }
    }
}

extension MailRoute {
    static func normal(_ hop: String, acceptsNew: Bool = true) -> MailRoute {
        MailRoute(nextHop: try! NextHop(parsing: "[\(hop)]:25"), etrnOnly: false, acceptsNew: acceptsNew)
    }

    static func etrnOnly(_ hop: String) -> MailRoute { MailRoute(nextHop: try! NextHop(parsing: "[\(hop)]:25"), etrnOnly: true) }
}
