// The watch of the queue's directories, ended and begun again.

import FlushCore
import Glibc
import Logging
import Synchronization
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct QueueWatchTests {
    private let id = QueueID("24819F924F6")!
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// A descriptor closed before Dispatch has let go of it never fires for whoever gets its number next.
    @Test func aWatchThatGetsTheDescriptorOfAnEndedOneHears() throws {
        let postfix = try FakePostfix()
        let file = postfix.layout.path(of: id, in: .incoming)
        let target = postfix.layout.path(of: id, in: .deferred)

        for round in 0..<50 {
            let heard = Atomic(false)
            try withWatch(postfix, notify: { heard.store(true, ordering: .relaxed) }) { watch in
                let descriptor = creat(file, 0o700)
                try #require(descriptor >= 0)
                close(descriptor)
                try #require(rename(file, target) == 0)
                var told: [QueueID] = []
                // Thirty seconds, in steps. It is not asked before it has called.
                for _ in 0..<30_000 where told.isEmpty {
                    if heard.exchange(false, ordering: .relaxed) { told = watch.take(atMost: 10).changes.map(\.id) } else { usleep(1_000) }
                }

                #expect(told == [id], "round \(round)")
            }
        }
    }

    private func withWatch(_ postfix: FakePostfix, notify: @escaping @Sendable () -> Void, _ body: (QueueWatch) throws -> Void) throws {
        let watch = QueueWatch(QueueDirectory(layout: postfix.layout), logger: logger, notify: notify)
        try watch.start()
        // And at once begun again by the next.
        defer { watch.stop() }
        try body(watch)
    }
}
