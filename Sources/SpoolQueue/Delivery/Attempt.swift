// One attempt to deliver a message, to one or several next hops.

import FlushCore

/// An attempt under way: the parts that are still out, and what the others have brought back.
// @unchecked: made, read and changed only by the `SpoolQueue` actor; it is a class because the parts of an attempt, which
// run interleaved on that actor, add to the same attempt.
final class Attempt: @unchecked Sendable {
    let id: QueueID
    /// Who asked for it; nil for the engine's own.
    let flush: FlushID?
    /// Tried even where the next hop was found dead.
    let unthrottle: Bool
    /// The domains that are tried; nil for a report.
    let domains: [DomainName]?
    var openParts = 0
    /// As it is now, with the outcomes so far; nil until a part has read the file.
    var envelope: SpoolEnvelope?
    var outcomes: [DomainOutcome] = []
    /// What was said about recipients that were refused, by index; for the report.
    var reasons: [Int: String] = [:]
    /// The recipients whose outcome was that they stay pending, with the reason.
    var deferrals: [Int: String] = [:]
    /// A next hop was reached and said something.
    var siteAnswered = false
    /// The file is gone, or cannot be understood and was put aside.
    var isGone = false

    init(id: QueueID, flush: FlushID?, unthrottle: Bool, domains: [DomainName]?) {
        self.id = id
        self.flush = flush
        self.unthrottle = unthrottle
        self.domains = domains
    }

    /// Takes a recipient's outcome.
    ///
    /// - Returns: its new status; nil when it stays pending.
    func take(_ outcome: RecipientOutcome, for index: Int) -> SpoolEnvelope.Status? {
        guard let address = envelope?.recipients[index].address else { return nil }
        switch outcome {
        case .delivered:
            envelope?.recipients[index].status = .delivered
            count(address) { $0.delivered += 1 }
            return .delivered
        case .bounced(let reply):
            envelope?.recipients[index].status = .reportOwed
            reasons[index] = reply
            count(address) {
                $0.bounced += 1
                $0.reason = SpoolEnvelope.line(reply)
            }
            return .reportOwed
        case .deferred(let reason):
            deferrals[index] = reason
            count(address) {
                $0.deferred += 1
                $0.reason = SpoolEnvelope.line(reason)
            }
            return nil
        }
    }

    /// Turns a recipient that is still pending into one that is given up.
    func expire(_ index: Int, reason: String) {
        guard let address = envelope?.recipients[index].address else { return }
        envelope?.recipients[index].status = .reportOwed
        reasons[index] = reason
        let wasCounted = deferrals.removeValue(forKey: index) != nil
        count(address) {
            if wasCounted { $0.deferred -= 1 }
            $0.bounced += 1
            $0.reason = SpoolEnvelope.line(reason)
        }
    }

    /// Adds a recipient's outcome to its domain's row.
    func count(_ address: String, _ change: (inout DomainOutcome) -> Void) {
        guard let domain = SpoolEnvelope.domain(of: address) else { return }
        if let row = outcomes.firstIndex(where: { $0.domain == domain }) {
            change(&outcomes[row])
        } else {
            var outcome = DomainOutcome(domain: domain)
            change(&outcome)
            outcomes.append(outcome)
        }
    }
}
