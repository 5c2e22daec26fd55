// What each event means to the counts of a flush.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct FlushTrackerTests {
    let branch = Samples.domain("branch.example")
    let below = Samples.domain("sub.branch.example")
    let ship = Samples.domain("ship.example")
    let id = Samples.queueID(1)
    let now = Timestamp(seconds: 1_800_000_000)

    func tracker(_ numbers: Int..., selector: FlushSelector? = nil, matched: Int = 1) -> FlushTracker {
        var tracker = FlushTracker()
        for number in numbers {
            var flush = Samples.flush(number, selector ?? .domain(branch, subdomains: false), state: .running)
            flush.matched = matched
            tracker.start(flush, snapshotRecordings: 0)
        }
        return tracker
    }

    func attempt(
        by flush: Int? = 1, pending: [DomainName] = [], place: MessagePlace = .deferred, _ outcomes: DomainOutcome...
    ) -> DeliveryAttempt {
        let remaining = pending.isEmpty ? nil : QueuedMessage(id: id, place: place, arrival: now, size: 1, domains: pending)
        return DeliveryAttempt(id: id, flush: flush.map(Samples.flushID), remaining: remaining, outcomes: outcomes)
    }

    struct Judgement: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var selector: FlushSelector
        var pending: [DomainName]
        var place = MessagePlace.deferred
        var outcomes: [DomainOutcome]
        var expected: FlushTracker.Outcome
    }

    static let own = FlushSelector.domain(Samples.domain("branch.example"), subdomains: false)
    static let family = FlushSelector.domain(Samples.domain("branch.example"), subdomains: true)
    static let a = Samples.domain("branch.example")
    static let s = Samples.domain("sub.branch.example")
    static let b = Samples.domain("ship.example")

    @Test(arguments: [
        Judgement(testDescription: "delivered", selector: own, pending: [], outcomes: [.init(domain: a, delivered: 1)], expected: .delivered),
        Judgement(testDescription: "deferred", selector: own, pending: [a], outcomes: [.init(domain: a, deferred: 1)], expected: .deferredAgain),
        Judgement(
            testDescription: "back on hold", selector: own, pending: [a], place: .held, outcomes: [.init(domain: a, deferred: 1)],
            expected: .deferredAgain),
        Judgement(
            testDescription: "one recipient delivered, one deferred", selector: own, pending: [a],
            outcomes: [.init(domain: a, delivered: 1, deferred: 1)], expected: .deferredAgain),
        Judgement(
            testDescription: "one bounced, one deferred", selector: own, pending: [a],
            outcomes: [.init(domain: a, bounced: 1, deferred: 1)], expected: .deferredAgain),
        Judgement(
            testDescription: "one delivered, one bounced", selector: own, pending: [],
            outcomes: [.init(domain: a, delivered: 1, bounced: 1)], expected: .bounced),
        Judgement(
            testDescription: "back only for another domain", selector: own, pending: [b],
            outcomes: [.init(domain: a, delivered: 1), .init(domain: b, deferred: 1)], expected: .delivered),
        Judgement(
            testDescription: "bounced only for another domain", selector: own, pending: [],
            outcomes: [.init(domain: a, delivered: 1), .init(domain: b, bounced: 1)], expected: .delivered),
        Judgement(
            testDescription: "delivered only for another domain", selector: own, pending: [a],
            outcomes: [.init(domain: a, deferred: 1), .init(domain: b, delivered: 1)], expected: .deferredAgain),
        Judgement(testDescription: "nothing known", selector: own, pending: [], outcomes: [], expected: .departed),
        Judgement(
            testDescription: "known only of another domain", selector: own, pending: [], outcomes: [.init(domain: b, delivered: 1)],
            expected: .departed),
        Judgement(
            testDescription: "deferred for a subdomain that is not meant", selector: own, pending: [s],
            outcomes: [.init(domain: a, delivered: 1), .init(domain: s, deferred: 1)], expected: .delivered),
        Judgement(
            testDescription: "deferred for a subdomain that is meant", selector: family, pending: [s],
            outcomes: [.init(domain: a, delivered: 1), .init(domain: s, deferred: 1)], expected: .deferredAgain),
        Judgement(
            testDescription: "a whole-queue flush judges everybody", selector: .everything, pending: [b],
            outcomes: [.init(domain: a, delivered: 1), .init(domain: b, deferred: 1)], expected: .deferredAgain),
        Judgement(
            testDescription: "a message flush judges everybody", selector: .message(Samples.queueID(1)), pending: [b],
            outcomes: [.init(domain: a, delivered: 1), .init(domain: b, deferred: 1)], expected: .deferredAgain),
    ])
    func judgesByTheRecipientsThatAreMeant(_ row: Judgement) {
        let remaining =
            row.pending.isEmpty ? nil : QueuedMessage(id: id, place: row.place, arrival: now, size: 1, domains: row.pending)
        let attempt = DeliveryAttempt(id: id, remaining: remaining, outcomes: row.outcomes)

        #expect(FlushTracker.judge(attempt, for: row.selector).0 == row.expected)
    }

    @Test func aSlowFlushForADomainJudgesEveryRecipient() throws {
        var tracker = FlushTracker()
        var flush = Samples.flush(1, .domain(branch, subdomains: false), state: .running)
        flush.mode = .slow
        flush.matched = 1
        tracker.start(flush, snapshotRecordings: 0)
        let claimed = tracker.claim(id, for: flush.id)
        #expect(claimed)
        tracker.answered(id, .released, for: flush.id)

        _ = tracker.attempted(attempt(pending: [ship], DomainOutcome(domain: ship, deferred: 1)))

        #expect(tracker[flush.id]?.flush.deferredAgain == 1)
    }

    @Test func keepsAnOutcomeThatComesBeforeTheReleasesAnswer() throws {
        var tracker = tracker(1)
        let flush = Samples.flushID(1)
        let claimed = tracker.claim(id, for: flush)
        #expect(claimed)

        let concerned = tracker.attempted(attempt(DomainOutcome(domain: branch, delivered: 1)))
        #expect(concerned == flush)
        var seen = try #require(tracker[flush]).flush
        #expect(seen.delivered == 0 && seen.released == 0 && seen.open == 0)
        expectSums(seen)

        tracker.answered(id, .released, for: flush)
        seen = try #require(tracker[flush]).flush
        #expect(seen.delivered == 1 && seen.released == 1 && seen.open == 0)
        expectSums(seen)
    }

    @Test func forgetsAnEarlyOutcomeOfAMessageThatWasNotReleased() throws {
        var tracker = tracker(1)
        let flush = Samples.flushID(1)
        _ = tracker.claim(id, for: flush)
        _ = tracker.left(id)

        tracker.answered(id, .vanished, for: flush)

        let seen = try #require(tracker[flush]).flush
        #expect(seen.vanished == 1 && seen.departed == 0)
        expectSums(seen)
    }

    @Test func countsAMessageOfAnotherOpenFlushAsInDelivery() throws {
        var tracker = tracker(1, 2)
        let first = tracker.claim(id, for: Samples.flushID(1))
        let second = tracker.claim(id, for: Samples.flushID(2))

        #expect(first && !second)
        #expect(tracker[Samples.flushID(2)]?.flush.inDelivery == 1)
    }

    @Test func givesAMessageToTheNextFlushAfterItsFirstOutcome() {
        var tracker = tracker(1, 2)
        _ = tracker.claim(id, for: Samples.flushID(1))
        tracker.answered(id, .released, for: Samples.flushID(1))
        _ = tracker.attempted(attempt(pending: [branch], DomainOutcome(domain: branch, deferred: 1)))

        let claimed = tracker.claim(id, for: Samples.flushID(2))

        #expect(claimed)
        #expect(tracker[Samples.flushID(1)]?.flush.deferredAgain == 1)
    }

    @Test func doesNotTakeAnotherAttemptForTheOutcome() {
        var tracker = tracker(1)
        _ = tracker.claim(id, for: Samples.flushID(1))
        tracker.answered(id, .released, for: Samples.flushID(1))

        let engines = tracker.attempted(attempt(by: nil, DomainOutcome(domain: branch, delivered: 1)))
        let strangers = tracker.attempted(attempt(by: 2, DomainOutcome(domain: branch, delivered: 1)))

        #expect(engines == nil && strangers == nil)
        #expect(tracker[Samples.flushID(1)]?.flush.open == 1)
    }

    @Test func countsTheFirstOutcomeOnly() {
        var tracker = tracker(1)
        _ = tracker.claim(id, for: Samples.flushID(1))
        tracker.answered(id, .released, for: Samples.flushID(1))
        _ = tracker.attempted(attempt(pending: [branch], DomainOutcome(domain: branch, deferred: 1)))

        let again = tracker.attempted(attempt(DomainOutcome(domain: branch, delivered: 1)))

        #expect(again == nil)
        let flush = tracker[Samples.flushID(1)]?.flush
        #expect(flush?.deferredAgain == 1 && flush?.delivered == 0)
    }

    @Test func aPartlyDeliveredMessageShowsThatTheSiteTakesMail() {
        var tracker = tracker(1)
        _ = tracker.claim(id, for: Samples.flushID(1))
        tracker.answered(id, .released, for: Samples.flushID(1))

        _ = tracker.attempted(attempt(pending: [branch], DomainOutcome(domain: branch, delivered: 1, deferred: 1)))

        #expect(tracker[Samples.flushID(1)]?.siteAnswered == true)
        #expect(tracker[Samples.flushID(1)]?.flush.deferredAgain == 1)
    }

    @Test func aSiteThatRefusesForNowIsUpAllTheSame() {
        var tracker = tracker(1)
        _ = tracker.claim(id, for: Samples.flushID(1))
        tracker.answered(id, .released, for: Samples.flushID(1))
        var refused = attempt(pending: [branch], DomainOutcome(domain: branch, deferred: 1, reason: "452 mailbox full"))
        refused.siteAnswered = true

        _ = tracker.attempted(refused)

        #expect(tracker[Samples.flushID(1)]?.siteAnswered == true)
        #expect(tracker[Samples.flushID(1)]?.flush.deferredAgain == 1)
    }

    @Test func aDeliveryToSomebodyElseShowsNothingOfTheSite() {
        var tracker = tracker(1)
        _ = tracker.claim(id, for: Samples.flushID(1))
        tracker.answered(id, .released, for: Samples.flushID(1))

        _ = tracker.attempted(
            attempt(pending: [branch], DomainOutcome(domain: branch, deferred: 1), DomainOutcome(domain: ship, delivered: 1)))

        #expect(tracker[Samples.flushID(1)]?.siteAnswered == false)
    }

    @Test func endsWhenNothingIsOpenAndTheReleaseIsOver() {
        var tracker = tracker(1)
        let flush = Samples.flushID(1)
        _ = tracker.claim(id, for: flush)
        tracker.answered(id, .released, for: flush)
        let whileReleasing = tracker.end(flush, at: now)
        tracker.endRelease(of: flush)
        let whileOpen = tracker.end(flush, at: now)
        _ = tracker.left(id)

        let ended = tracker.end(flush, at: now)

        #expect(whileReleasing == nil && whileOpen == nil)
        #expect(ended?.state == .finished)
        #expect(ended?.departed == 1)
        #expect(ended?.finishedAt == now)
        #expect(tracker.runningCount == 0)
        // Nobody owns it any more.
        #expect(tracker.left(id) == nil)
    }

    @Test func staysCancelledWhenTheOutcomeLimitEndsIt() {
        var tracker = tracker(1)
        let flush = Samples.flushID(1)
        _ = tracker.claim(id, for: flush)
        tracker.answered(id, .released, for: flush)
        tracker.cancel(flush)

        let ended = tracker.end(flush, at: now, force: .finished)

        #expect(ended?.state == .cancelled)
        #expect(ended?.open == 1)
    }

    @Test func aRefusedReleaseLeavesItsMessagesToOthers() {
        var tracker = tracker(1, 2)
        _ = tracker.claim(id, for: Samples.flushID(1))
        tracker.unclaim([id], reason: "the disk is gone", for: Samples.flushID(1))

        let claimed = tracker.claim(id, for: Samples.flushID(2))

        #expect(claimed)
        #expect(tracker[Samples.flushID(1)]?.flush.unreleased == 1)
        #expect(tracker[Samples.flushID(1)]?.flush.lastReason == "the disk is gone")
    }

    @Test func flushIDsGrowAlsoWhenTheClockGoesBack() throws {
        var previous: FlushID?
        for step in 0..<1000 {
            let time = Timestamp(seconds: 1_800_000_000 - Int64(step))
            let next = FlushID.next(after: previous, at: time, random: step % 2 == 0 ? .max : 0)
            if let previous { #expect(next > previous) }
            #expect(FlushID(next.description) == next)
            previous = next
        }
        let far = FlushID.next(after: nil, at: Timestamp(microseconds: .max), random: .max)
        let past = FlushID.next(after: nil, at: Timestamp(microseconds: .min), random: 0)
        #expect(FlushID(far.description) == far && FlushID(past.description) == past)
    }
}
