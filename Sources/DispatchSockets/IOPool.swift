// Blocking work, such as reading and syncing files, away from the event loop.

import Dispatch
import Synchronization

/// A small fixed number of threads for work that may block.
///
/// Work starts in the order in which it was asked for, at most `width` pieces at once. Work that has begun runs to its end, even
/// when the task that asked is cancelled.
public final class IOPool: Sendable {
    private struct State {
        var idle: [Int]
        /// Taken from the front; `next` is the first that has not been.
        var waiting: [(@Sendable () -> Void)?] = []
        var next = 0
    }

    /// Pieces of work that `submit` lets wait before it refuses.
    public static let defaultMaximumBacklog = 4096

    public let width: Int
    public let maximumBacklog: Int
    /// Serial and without a target: each has a thread of its own while it runs, whatever blocks elsewhere.
    private let queues: [DispatchQueue]
    private let state: Mutex<State>

    public init(label: String, width: Int, maximumBacklog: Int = IOPool.defaultMaximumBacklog) {
        precondition(width > 0, "a pool needs a thread")
        self.width = width
        self.maximumBacklog = maximumBacklog
        queues = (0..<width).map { DispatchQueue(label: "\(label).\($0)") }
        state = Mutex(State(idle: Array((0..<width).reversed())))
    }

    /// Pieces of work that wait for a thread.
    public var backlog: Int { state.withLock { $0.waiting.count - $0.next } }

    /// Runs `work` on a thread of the pool; the task waits for it where it is, without a detour over another executor.
    ///
    /// It waits as long as it takes: there are never more pieces waiting than tasks that wait for them. Who would rather refuse
    /// than wait looks at `backlog` first.
    nonisolated(nonsending) public func run<T: Sendable, E: Error>(_ work: @Sendable @escaping () throws(E) -> T) async throws(E) -> T {
        let result: Result<T, E> = await withUnsafeContinuation { continuation in
            _ = add(maximumBacklog: .max) {
                do throws(E) {
                    continuation.resume(returning: .success(try work()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// Runs all pieces, as many at once as there are threads, and returns what they return, in their order.
    nonisolated(nonsending) public func runAll<T: Sendable>(_ pieces: [@Sendable () -> T]) async -> [T] {
        guard !pieces.isEmpty else { return [] }
        let results = Results<T>(count: pieces.count)
        await withUnsafeContinuation { continuation in
            for (number, piece) in pieces.enumerated() {
                _ = add(maximumBacklog: .max) {
                    if results.take(piece(), number) { continuation.resume() }
                }
            }
        }
        return results.all
    }

    /// What the pieces of one `runAll` have returned so far.
    private final class Results<T: Sendable>: Sendable {
        private let state: Mutex<(results: [T?], missing: Int)>

        init(count: Int) { state = Mutex((Array(repeating: nil, count: count), count)) }

        /// True for the last one.
        func take(_ result: T, _ number: Int) -> Bool {
            state.withLock { state in
                state.results[number] = result
                state.missing -= 1
                return state.missing == 0
            }
        }

        var all: [T] { state.withLock { $0.results.compactMap(\.self) } }
    }

    /// Has `work` run and does not wait for it.
    ///
    /// - Returns: false when `maximumBacklog` pieces wait already; the work was not taken.
    public func submit(_ work: @Sendable @escaping () -> Void) -> Bool {
        add(maximumBacklog: maximumBacklog, work)
    }

    private enum Placement {
        case thread(Int)
        case waits
        case refused
    }

    private func add(maximumBacklog: Int, _ work: @Sendable @escaping () -> Void) -> Bool {
        let placement = state.withLock { state -> Placement in
            if let thread = state.idle.popLast() { return .thread(thread) }
            guard state.waiting.count - state.next < maximumBacklog else { return .refused }
            state.waiting.append(work)
            return .waits
        }
        switch placement {
        case .thread(let thread):
            queues[thread].async { @Sendable in
                work()
                self.continueWork(on: thread)
            }
            return true
        case .waits: return true
        case .refused: return false
        }
    }

    private func continueWork(on thread: Int) {
        while let work = nextWork(for: thread) { work() }
    }

    private func nextWork(for thread: Int) -> (@Sendable () -> Void)? {
        state.withLock { state in
            guard state.next < state.waiting.count else {
                state.waiting = []
                state.next = 0
                state.idle.append(thread)
                return nil
            }
            let work = state.waiting[state.next]
            state.waiting[state.next] = nil
            state.next += 1
            if state.next >= 64, state.next * 2 >= state.waiting.count {
                state.waiting.removeSubrange(..<state.next)
                state.next = 0
            }
            return work
        }
    }
}
