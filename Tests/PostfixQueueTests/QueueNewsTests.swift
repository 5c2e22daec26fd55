// What is kept of the kernel's news until somebody has time for them.

import FlushCore
import FlushTesting
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct QueueNewsTests {
    private let id = Samples.queueID(1)

    private func kept(_ steps: [(QueueWatch.Step?, isHalf: Bool)]) -> QueueWatch.Kept {
        var kept = QueueWatch.Kept()
        kept.append(id)
        for (step, isHalf) in steps { kept.changes[id, default: .init()].note(step, isHalf: isHalf) }
        return kept
    }

    /// The kernel tells where a file went from and where it went to one after the other, and we may read in between.
    @Test func halfARenameWaitsForItsOther() async throws {
        var news = kept([(.left(.active), isHalf: true)])

        #expect(news.take(atMost: 10).changes.isEmpty)
        #expect(!news.isEmpty)
        news.changes[id, default: .init()].note(.entered(.deferred), isHalf: false)
        let batch = news.take(atMost: 10)

        #expect(batch.changes.map(\.change.steps) == [[.left(.active), .entered(.deferred)]])
        #expect(news.isEmpty && news.changes.isEmpty)
    }

    /// As when postsuper(1) takes a message elsewhere: the other half never comes.
    @Test func halfARenameDoesNotWaitForever() async throws {
        var news = kept([(.left(.deferred), isHalf: true)])
        let deadline = ContinuousClock.now + .seconds(10)
        var batch = news.take(atMost: 10)

        while batch.changes.isEmpty, ContinuousClock.now < deadline { batch = news.take(atMost: 10) }

        #expect(batch.changes.map(\.change.steps) == [[.left(.deferred)]])
    }

    @Test func aDeletionWaitsForNothing() {
        var news = kept([(.left(.active), isHalf: false)])

        #expect(news.take(atMost: 10).changes.count == 1)
    }

    @Test func aMessageThatMovesAndMovesIsOneEntryOfBoundedSize() {
        let moves: [(QueueWatch.Step?, isHalf: Bool)] = (0..<100).flatMap { _ in [(.left(.active), true), (.entered(.deferred), false)] }
        var news = kept(moves)

        let batch = news.take(atMost: 10)

        #expect(batch.changes.count == 1)
        #expect(batch.changes[0].change.isUnsure)
        #expect(batch.changes[0].change.steps.count <= QueueWatch.maximumSteps)
    }

    @Test func newsAreTakenInPortionsAndNumbered() {
        var news = QueueWatch.Kept()
        for number in 0..<25 {
            news.append(Samples.queueID(number))
            news.changes[Samples.queueID(number), default: .init()].note(.entered(.incoming), isHalf: false)
        }

        let batches = [news.take(atMost: 10), news.take(atMost: 10), news.take(atMost: 10), news.take(atMost: 10)]

        #expect(batches.map(\.changes.count) == [10, 10, 5, 0])
        #expect(batches.map(\.number) == [10, 20, 25, 25])
        #expect(batches.flatMap { $0.changes.map(\.id) } == (0..<25).map { Samples.queueID($0) })
    }

    @Test func aLossIsToldOnceAndCountsAsTold() {
        var news = kept([(.entered(.deferred), false)])
        news.overflow()

        let batch = news.take(atMost: 10)

        #expect(batch.hasOverflowed && batch.changes.isEmpty && batch.number == 1)
        #expect(!news.take(atMost: 10).hasOverflowed)
    }
}
