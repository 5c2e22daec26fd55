// Waiting for a flush: for its end, or for what its probes tell.

extension FlushServer {
    /// Somebody who waits for a running flush to come to a certain state.
    struct Waiter {
        var number: Int
        /// Nil stands for a flush that has ended.
        var isReady: @Sendable (FlushTracker.Running?) -> Bool
        var continuation: CheckedContinuation<Void, Never>
        var timer: Task<Void, Never>
    }

    public func flush(_ id: FlushID, waitingFor patience: Duration) async throws(FlushError) -> Flush? {
        if patience > .zero, tracker[id] != nil { await wait(for: id, atMost: patience) { $0 == nil } }
        if let running = tracker[id]?.flush ?? recent[id] ?? unsavedEnded[id] { return running }
        do { return try await history.flush(id) } catch { throw .queueUnavailable(reason: "the flush history: \(error)") }
    }

    /// Returns when the flush is as wanted, has ended, or `patience` is at its end.
    func wait(for id: FlushID, atMost patience: Duration, until isReady: @escaping @Sendable (FlushTracker.Running?) -> Bool) async {
        guard let running = tracker[id], !isReady(running) else { return }
        nextWaiter += 1
        let number = nextWaiter
        await withCheckedContinuation { continuation in
            let timer = Task {
                await time.sleep(for: patience)
                self.expire(number, of: id)
            }
            waiters[id, default: []].append(Waiter(number: number, isReady: isReady, continuation: continuation, timer: timer))
        }
    }

    func wake(_ id: FlushID) {
        guard let waiting = waiters[id] else { return }
        let running = tracker[id]
        let still = waiting.filter { running != nil && !$0.isReady(running) }
        waiters[id] = still.isEmpty ? nil : still
        for waiter in waiting where running == nil || waiter.isReady(running) {
            waiter.timer.cancel()
            waiter.continuation.resume()
        }
    }

    private func expire(_ number: Int, of id: FlushID) {
        guard let place = waiters[id]?.firstIndex(where: { $0.number == number }), let waiter = waiters[id]?.remove(at: place) else { return }
        if waiters[id]?.isEmpty == true { waiters[id] = nil }
        waiter.continuation.resume()
    }
}
