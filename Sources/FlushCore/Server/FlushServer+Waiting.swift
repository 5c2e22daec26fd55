// Waiting for a flush: for its end, or for what its probes tell.

extension FlushServer {
    /// Somebody who waits for a running flush to come to a certain state.
    struct Waiter {
        var number: Int
        /// A front end waits, whose client can ask again; else a flush of ours, which goes on by what it waited for.
        var isCaller: Bool
        /// Nil stands for a flush that has ended.
        var isReady: @Sendable (FlushTracker.Running?) -> Bool
        var continuation: CheckedContinuation<Void, Never>
        var timer: Task<Void, Never>
    }

    public func flush(_ id: FlushID, waitingFor patience: Duration) async throws(FlushError) -> Flush? {
        if patience > .zero, tracker[id] != nil, !hasEndedWaits {
            await wait(for: id, atMost: patience, isCaller: true) { $0 == nil }
        }
        if let running = tracker[id]?.flush ?? recent[id] ?? unsavedEnded[id] { return running }
        do { return try await history.flush(id) } catch { throw .queueUnavailable(reason: "the flush history: \(error)") }
    }

    /// Returns when the flush is as wanted, has ended, or `patience` is at its end.
    func wait(
        for id: FlushID, atMost patience: Duration, isCaller: Bool = false, until isReady: @escaping @Sendable (FlushTracker.Running?) -> Bool
    ) async {
        guard let running = tracker[id], !isReady(running) else { return }
        nextWaiter += 1
        let number = nextWaiter
        await withCheckedContinuation { continuation in
            // Asked again: a task that does not prefer this executor is enqueued anew on the way here, and others run before it.
            guard let running = tracker[id], !isReady(running), !(isCaller && hasEndedWaits) else { return continuation.resume() }
            let timer = Task {
                await time.sleep(for: patience)
                self.expire(number, of: id)
            }
            waiters[id, default: []].append(Waiter(number: number, isCaller: isCaller, isReady: isReady, continuation: continuation, timer: timer))
        }
    }

    // MARK: The first scan

    /// Returns when the index knows the queue, at once unless the server has just started: "nothing waits" must be true when it is said.
    /// A single message needs no index: the queue itself is asked for it.
    func waitForFirstScan(of selector: FlushSelector? = nil) async {
        guard mustWaitForFirstScan(of: selector) else { return }
        nextWaiter += 1
        let number = nextWaiter
        let timer = Task {
            await time.sleep(for: Limits.firstScanPatience)
            fillWaiters.removeValue(forKey: number)?.resume()
        }
        await withCheckedContinuation { continuation in
            // Asked again: a task that does not prefer this executor is enqueued anew on the way here, and others run before it.
            guard isFilling, !hasEndedWaits else { return continuation.resume() }
            fillWaiters[number] = continuation
        }
        timer.cancel()
    }

    func mustWaitForFirstScan(of selector: FlushSelector?) -> Bool {
        if case .message = selector { return false }
        return isFilling && !hasEndedWaits
    }

    /// The first scan has ended, or nobody shall wait for it any more.
    func endFilling() {
        isFilling = false
        let waiting = fillWaiters.values
        fillWaiters = [:]
        for waiter in waiting { waiter.resume() }
    }

    // MARK: Stopping

    /// Answers at once whoever waits for a flush, now and from now on: the first step of a stop, so that nobody is cut off without
    /// an answer. The flushes themselves go on.
    public func endWaits() {
        hasEndedWaits = true
        endFilling()
        for (id, waiting) in waiters {
            let still = waiting.filter { !$0.isCaller }
            waiters[id] = still.isEmpty ? nil : still
            for waiter in waiting where waiter.isCaller {
                waiter.timer.cancel()
                waiter.continuation.resume()
            }
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
