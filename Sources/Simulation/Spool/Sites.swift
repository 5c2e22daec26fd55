// The next hops: they answer, refuse, are away, take their time.

import CurlTransport
import FlushCore
import FlushTesting
import SpoolQueue

/// Every site, and the provider that carries reports.
// @unchecked: the simulation has one thread.
final class Sites: MailRoutes, @unchecked Sendable {
    static let reporter = "relay.provider.example"
    static let branch = Samples.domain("branch.example")
    static let ship = Samples.domain("ship.example")
    static let office = Samples.domain("office.example")

    private let machine: Machine
    private let ledger: Ledger
    /// Sites that nobody can reach.
    var away: Set<String> = []
    /// Nobody takes time to answer.
    var isPrompt = false
    /// Everybody takes everything.
    var isCalm = false

    init(machine: Machine, ledger: Ledger) {
        self.machine = machine
        self.ledger = ledger
    }

    func route(for domain: DomainName) -> MailRoute? {
        guard [Self.branch, Self.ship, Self.office].contains(domain) else { return nil }
        return (try? NextHop(parsing: "[mail.\(domain)]:25")).map { MailRoute(nextHop: $0, etrnOnly: domain != Self.office) }
    }

    /// Answers a delivery by a process, whose death the site does not notice before the end.
    func deliver(_ delivery: Delivery, for process: SpoolProcess) async -> DeliveryResult {
        let host = delivery.nextHop.host
        if !isPrompt, machine.isLucky(oneIn: 3) { await process.time.sleep(for: .milliseconds(machine.chance(2_000))) }
        guard isCalm || !away.contains(host) else {
            return DeliveryResult(
                outcomes: delivery.recipients.map { _ in .deferred(reason: "connection refused") }, siteReached: false, reason: "connection refused")
        }
        var content: [UInt8] = []
        do {
            while true {
                let piece = try await delivery.content.next(maximum: 300)
                guard !piece.isEmpty else { break }
                content += piece
            }
        } catch {
            let reason = "the queue file could not be read"
            return DeliveryResult(outcomes: delivery.recipients.map { _ in .deferred(reason: reason) }, siteReached: true, reason: reason)
        }
        guard process.isAlive else {
            return DeliveryResult(outcomes: delivery.recipients.map { _ in .deferred(reason: "cancelled") }, siteReached: false, reason: "cancelled")
        }
        let outcomes = delivery.recipients.map { outcome(for: $0, content, isReport: delivery.sender.isEmpty && host == Self.reporter) }
        machine.trace.note("delivers", delivery.recipients.count, content.count, text: "\(delivery.recipients) \(outcomes)")
        return DeliveryResult(outcomes: outcomes, siteReached: true)
    }

    private func outcome(for recipient: String, _ content: [UInt8], isReport: Bool) -> RecipientOutcome {
        switch isCalm ? 0 : machine.chance(8) {
        case 0..<5:
            if isReport { ledger.reports.append(content) } else { ledger.delivered(recipient, content) }
            return .delivered(reply: "250 2.0.0 Ok")
        case 5, 6: return .deferred(reason: "450 4.2.0 later")
        default:
            return isReport ? .deferred(reason: "450 4.2.0 later") : .bounced(reply: "550 5.1.1 never")
        }
    }
}
