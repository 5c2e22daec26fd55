// Where a message's file is.

import FlushCore
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct QueueLayoutTests {
    let short = QueueID("24819F924F6")!
    let long = QueueID("4jXf1t3BDnz2Pkjd")!

    @Test func aShortIDIsHashedByItsFirstCharacters() {
        let layout = QueueLayout(queueDirectory: "/q", depth: 1)

        #expect(layout.path(of: short, in: .deferred) == "/q/deferred/2/24819F924F6")
        #expect(layout.path(of: short, in: "defer") == "/q/defer/2/24819F924F6")
        #expect(layout.path(of: short, in: .incoming) == "/q/incoming/24819F924F6")
        #expect(layout.path(of: short, in: .hold) == "/q/hold/24819F924F6")
    }

    @Test func aLongIDIsHashedByItsMicroseconds() {
        let layout = QueueLayout(queueDirectory: "/q", depth: 2)

        #expect(String(decoding: QueueLayout.hashText(of: long), as: UTF8.self) == "6DBF9")
        #expect(layout.path(of: long, in: .deferred) == "/q/deferred/6/D/4jXf1t3BDnz2Pkjd")
    }

    @Test func aZEarlyInAnIDMakesItNoLongOne() {
        let id = QueueID("123z567")!

        #expect(QueueLayout.hashText(of: id) == Array("123z567".utf8))
    }

    @Test func theLastZCounts() {
        let id = QueueID("4jXf1tzzzzz2Pkjd")!

        #expect(QueueLayout.hashText(of: id) == Array(String(52 * 52 * 52 * 52 - 1, radix: 16, uppercase: true).utf8))
    }

    @Test func anIDShorterThanTheDepthIsFilledUp() {
        let layout = QueueLayout(queueDirectory: "/q", depth: 4)

        #expect(layout.path(of: QueueID("AB")!, in: .deferred) == "/q/deferred/A/B/_/_/AB")
    }

    @Test func otherNamesMayBeHashedToo() {
        let layout = QueueLayout(queueDirectory: "/q", hashedNames: ["incoming", "hold"], depth: 1)

        #expect(layout.path(of: short, in: .incoming) == "/q/incoming/2/24819F924F6")
        #expect(layout.path(of: short, in: .deferred) == "/q/deferred/24819F924F6")
    }
}
