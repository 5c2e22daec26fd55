// The loop as an executor of tasks and actors, and ways onto it from elsewhere.

import Dispatch

extension EventLoop {
    /// Runs a piece of a task on the loop: soon when called on it, else with the mailbox.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent, catchesJob {
            catchesJob = false
            caughtJob = job
        } else {
            submit(.job(job))
        }
    }

    /// Runs the piece of a task that `resume` makes ready now, where others wait for their turn. Only on the loop, for a task that waits on it.
    func runAtOnce(_ resume: () -> Void) {
        preconditionCurrent()
        catchesJob = true
        resume()
        catchesJob = false
        guard let job = caughtJob else { return }
        caughtJob = nil
        run(job)
    }

    func run(_ job: UnownedJob) {
        job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
    }

    /// Lets an actor on this loop be entered with `assumeIsolated` from the loop's callbacks.
    public func checkIsolated() {
        preconditionCurrent()
    }

    public func isIsolatingCurrentContext() -> Bool? {
        isCurrent
    }

    /// Runs `body` on the loop and returns what it returns. Off the loop only, and not in a task: the thread waits.
    ///
    /// For a program's start and end, where no task runs yet.
    public func sync<Result: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(!isCurrent, "waiting for the loop on the loop would never end")
        let slot = ResultSlot<Result, Failure>()
        execute {
            do throws(Failure) { slot.fill(.success(try body())) } catch { slot.fill(.failure(error)) }
        }
        return try slot.wait().get()
    }

    /// Runs `body` on the loop and returns what it returns. From any task.
    nonisolated(nonsending) public func run<Result: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        let result: Swift.Result<Result, Failure> = await withUnsafeContinuation { continuation in
            execute {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}

/// A result that one thread waits for and another delivers.
// @unchecked: `result` is written before the semaphore is signalled and read after it was waited for, once each.
private final class ResultSlot<Value: Sendable, Failure: Error>: @unchecked Sendable {
    private var result: Result<Value, Failure>?
    private let filled = DispatchSemaphore(value: 0)

    func fill(_ result: Result<Value, Failure>) {
        self.result = result
        filled.signal()
    }

    func wait() -> Result<Value, Failure> {
        filled.wait()
        guard let result else { preconditionFailure("signalled without a result") }
        return result
    }
}
