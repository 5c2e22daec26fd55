// Valid names and records for tests that do not care which.

import FlushCore

/// Made-up values; what cannot be made is a mistake in the test.
public enum Samples {
    public static func domain(_ text: String) -> DomainName {
        guard let domain = DomainName(text) else { preconditionFailure("'\(text)' is no domain name") }
        return domain
    }

    /// Different for each number.
    public static func queueID(_ number: Int) -> QueueID {
        guard let id = QueueID("4XyZ\(number)") else { preconditionFailure("\(number) makes no queue ID") }
        return id
    }

    /// Different for each number up to a million, and in their order.
    public static func flushID(_ number: Int) -> FlushID {
        let digits = String(number)
        let text = "01KAPM3Q7V" + String(repeating: "0", count: 16 - digits.utf8.count) + digits
        guard let id = FlushID(text) else { preconditionFailure("\(number) makes no flush ID") }
        return id
    }

    public static func flush(_ number: Int, _ selector: FlushSelector = .everything, state: Flush.State = .finished) -> Flush {
        Flush(
            id: flushID(number), selector: selector, mode: .fast, state: state, via: .http, requestedBy: "trusted:127.0.0.1",
            requestedAt: Timestamp(seconds: 1_800_000_000 + Int64(number)))
    }

    /// A flush in which no two fields have the same value and none its default.
    public static func fullFlush(_ number: Int, _ selector: FlushSelector) -> Flush {
        var flush = flush(number, selector, state: .cancelled)
        flush.mode = .slow
        flush.via = .postfix
        flush.requestedBy = "token:cust42"
        flush.note = "the link 'is' up; DROP TABLE flushes -- \"ü\" 🛰\r\n\t"
        flush.requestedAt = Timestamp(microseconds: 1_800_000_000_123_456)
        flush.finishedAt = Timestamp(microseconds: 1_800_000_001_000_001)
        flush.scheduledAt = Timestamp(microseconds: 1_800_000_000_500_002)
        flush.oldestArrival = Timestamp(microseconds: -5)
        flush.matched = 101
        flush.matchedBytes = 5_000_000_000
        flush.released = 102
        flush.inDelivery = 103
        flush.held = 104
        flush.vanished = 105
        flush.delivered = 107
        flush.deferredAgain = 108
        flush.bounced = 109
        flush.departed = 110
        flush.open = 111
        flush.lastReason = "451 4.3.0 try again"
        return flush
    }

    public static func relayDomain(_ name: String, version: Int = 1) -> RelayDomain {
        guard let nextHop = try? NextHop(parsing: "[mail.\(name)]:25") else { preconditionFailure("'\(name)' is no domain name") }
        let time = Timestamp(seconds: 1_800_000_000)
        return RelayDomain(domain: domain(name), nextHop: nextHop, version: version, createdAt: time, updatedAt: time)
    }
}
