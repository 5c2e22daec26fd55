// A flush's way: verdict, snapshot, probes, the rest, outcomes.

import DequeModule

extension FlushServer {
    public func flush(_ request: FlushRequest) async throws(FlushError) -> Flush {
        await waitForFirstScan(of: request.selector)
        let mode = try mode(for: request)
        // Whoever is refused shall hear that first; whoever is not shall not take a flush that cannot run for one that does.
        if let trouble = await queue.trouble() { throw .queueUnavailable(reason: trouble) }
        return try flushNow(request, mode)
    }

    /// What `flush` does, where it waits for nothing; nil elsewhere.
    func flushUnlessWaiting(_ request: FlushRequest) throws(FlushError) -> Flush? {
        guard !mustWaitForFirstScan(of: request.selector), queue.isKnownToBeReady else { return nil }
        return try flushNow(request, mode(for: request))
    }

    private func flushNow(_ request: FlushRequest, _ mode: Flush.Mode) throws(FlushError) -> Flush {
        counters.flushesRequested += 1
        if mode == .slow, case .domain = request.selector { return try slowFlush(request) }

        if let joined = joinable(request.selector, mode: mode) { return joined }
        return try start(makeFlush(for: request, mode: mode))
    }

    public func preview(_ request: FlushRequest) async throws(FlushError) -> Flush {
        await waitForFirstScan(of: request.selector)
        var flush = makeFlush(for: request, mode: try mode(for: request))
        take(index.snapshot(of: scope(of: flush)), into: &flush)
        flush.state = .finished
        flush.finishedAt = flush.requestedAt
        flush.dryRun = true
        return flush
    }

    public func cancel(_ id: FlushID) async throws(FlushError) -> Flush? {
        if tracker[id]?.flush.state == .running {
            if scheduledSlow == id {
                scheduledSlow = nil
                tracker.endRelease(of: id)
            }
            tracker.cancel(id)
            changed(id)
        }
        return try await flush(id, waitingFor: .zero)
    }

    private func mode(for request: FlushRequest) throws(FlushError) -> Flush.Mode {
        switch request.selector {
        case .everything: return .slow
        case .message(let id):
            // An ID that is not recorded may still be in the queue: only a complete index can say that it is not.
            guard index.place(of: id) != nil || !isIndexComplete else { throw .messageNotFound(id) }
            return .fast
        case .domain(let domain, _):
            switch policy.verdict(on: domain, mayFlushAll: request.mayFlushAll, isProvisioned: isProvisioned) {
            case .fast: return .fast
            case .slow: return .slow
            case .refused(let reason): throw .notEligible(domain, reason: reason)
            case .undecided(let reason): throw .queueUnavailable(reason: reason)
            }
        }
    }

    /// What a flush tries: a slow one tries everything, whatever domain it was asked for.
    private func scope(of flush: Flush) -> FlushSelector { flush.mode == .slow ? .everything : flush.selector }

    private func makeFlush(for request: FlushRequest, mode: Flush.Mode) -> Flush {
        let now = time.now
        let id = FlushID.next(after: lastID, at: now, random: UInt64.random(in: .min ... .max))
        lastID = id
        return Flush(
            id: id, selector: request.selector, mode: mode, via: request.via, requestedBy: request.requestedBy, note: request.note,
            requestedAt: now)
    }

    /// The running flush with this selector, if nothing has been recorded for it since that one's snapshot: a link that came up a
    /// second after a failed attempt must get its own attempt.
    private func joinable(_ selector: FlushSelector, mode: Flush.Mode) -> Flush? {
        guard let id = latest[selector], let running = tracker[id], running.flush.state == .running, running.flush.mode == mode,
            running.snapshotRecordings >= index.lastRecorded(for: mode == .slow ? .everything : selector)
        else { return nil }
        var joined = running.flush
        joined.coalesced = true
        return joined
    }

    // MARK: Slow flushes

    /// Runs the whole queue at most once in `slow_flush_interval`; a request in between gets the run that is scheduled at its end.
    private func slowFlush(_ request: FlushRequest) throws(FlushError) -> Flush {
        if let scheduledSlow, var joined = tracker[scheduledSlow]?.flush {
            joined.coalesced = true
            return joined
        }
        if let joined = joinable(request.selector, mode: .slow) { return joined }
        var flush = makeFlush(for: request, mode: .slow)
        // Of one that a clock which was set back has not reached yet, nobody knows how long ago it was.
        guard let last = slowStartedAt, last <= flush.requestedAt, flush.requestedAt < last + parameters.slowFlushInterval else {
            let started = try start(flush)
            slowStartedAt = started.requestedAt
            return started
        }
        let earliest = last + parameters.slowFlushInterval
        flush.scheduledAt = earliest
        take(index.snapshot(of: .everything), into: &flush)
        tracker.start(flush, snapshotRecordings: index.recordings)
        scheduledSlow = flush.id
        unsaved.insert(flush.id)
        let id = flush.id
        let wait = earliest - flush.requestedAt
        Task {
            await time.sleep(for: wait)
            self.startScheduled(id)
        }
        return flush
    }

    private func startScheduled(_ id: FlushID) {
        guard scheduledSlow == id, let flush = tracker[id]?.flush else { return }
        scheduledSlow = nil
        slowStartedAt = time.now
        latest[flush.selector] = id
        let snapshot = index.snapshot(of: .everything)
        tracker.update(id, snapshotRecordings: index.recordings) { take(snapshot, into: &$0) }
        noteRead(flush)
        run(id, snapshot.ids)
    }

    // MARK: Running

    private func take(_ snapshot: DeferredIndex.Snapshot, into flush: inout Flush) {
        flush.matched = snapshot.ids.count
        flush.matchedBytes = snapshot.bytes
        flush.oldestArrival = snapshot.oldestArrival
    }

    private func start(_ draft: Flush) throws(FlushError) -> Flush {
        guard tracker.runningCount < Limits.runningFlushes else { throw .limited(retryAfter: .seconds(1)) }
        var flush = draft
        var snapshot = index.snapshot(of: scope(of: flush))
        // A message that an incomplete index does not have yet is asked of the queue itself.
        if case .message(let id) = flush.selector, snapshot.ids.isEmpty { snapshot.ids = [id] }
        take(snapshot, into: &flush)
        guard !snapshot.ids.isEmpty else {
            flush.state = .finished
            flush.finishedAt = flush.requestedAt
            noteRead(flush)
            recent.keep(flush)
            return flush
        }
        noteRead(flush)
        tracker.start(flush, snapshotRecordings: index.recordings)
        latest[flush.selector] = flush.id
        unsaved.insert(flush.id)
        run(flush.id, snapshot.ids)
        return flush
    }

    /// What refresh and the domain list go by.
    private func noteRead(_ flush: Flush) {
        guard case .domain(let domain, let subdomains) = flush.selector else { return }
        let last = DomainSummary.LastFlush(id: flush.id, at: flush.requestedAt, state: flush.state)
        for number in index.numbers(of: domain, subdomains: subdomains) {
            index.records[Int(number)].lastRead = flush.requestedAt
            lastFlushes[index.name(number)] = last
        }
    }

    private func run(_ id: FlushID, _ ids: [QueueID]) {
        Task {
            await self.release(ids, in: id)
            self.tracker.endRelease(of: id)
            self.changed(id)
        }
        Task {
            await self.wait(for: id, atMost: parameters.outcomeLimit) { $0 == nil }
            if let ended = self.tracker.end(id, at: self.time.now, force: .finished) { self.keep(ended) }
        }
    }

    /// Releases probes, waits for what they tell, then the rest in batches.
    private func release(_ ids: [QueueID], in id: FlushID) async {
        var next = ids.startIndex
        if case .domain = tracker[id]?.flush.selector, tracker[id]?.flush.mode == .fast, parameters.probeMessages > 0 {
            while next < ids.endIndex, let running = tracker[id], running.flush.state == .running,
                running.flush.released < parameters.probeMessages
            {
                let count = min(parameters.probeMessages - running.flush.released, Limits.releaseBatch)
                let end = min(next + count, ids.endIndex)
                guard await release(ids[next..<end], in: id, unthrottle: true) else { return }
                next = end
            }
            guard next < ids.endIndex else { return }
            await wait(for: id, atMost: parameters.probeWait) { running in
                running.map { $0.siteAnswered || $0.everyReleaseCameBack || $0.flush.state != .running } ?? true
            }
            if let running = tracker[id], running.everyReleaseCameBack, !running.siteAnswered {
                return
            }
        }
        await releaseRest(ids[next...], in: id)
    }

    /// Releases what follows the probes, several batches at a time: while the queue moves one it can read another, and has a third when
    /// it is done.
    private func releaseRest(_ ids: ArraySlice<QueueID>, in id: FlushID) async {
        let unthrottle = unthrottlesRest(of: id)
        var underWay: Deque<Task<Bool, Never>> = []
        var mayGoOn = true
        for start in stride(from: ids.startIndex, to: ids.endIndex, by: Limits.releaseBatch) {
            if underWay.count == Limits.releasesAtOnce, let oldest = underWay.popFirst() { mayGoOn = await oldest.value }
            guard mayGoOn, tracker[id]?.flush.state == .running else { break }
            let batch = ids[start..<min(start + Limits.releaseBatch, ids.endIndex)]
            underWay.append(Task { await release(batch, in: id, unthrottle: unthrottle) })
        }
        for task in underWay { _ = await task.value }
    }

    /// Whether what follows the probes is tried also where the next hop was found dead.
    ///
    /// For one message, and for a site that nobody probes, there is a reason to try now; a whole-queue flush leaves dead destinations
    /// to their own time. With Postfix the same bit overrides `defer_transports`, which is how `etrn-only` mail is kept waiting.
    private func unthrottlesRest(of id: FlushID) -> Bool {
        guard let flush = tracker[id]?.flush else { return false }
        switch flush.selector {
        case .message: return true
        case .everything: return false
        case .domain(let domain, _):
            return flush.mode == .fast && (parameters.probeMessages == 0 || relayDomainDirectory.covering(domain)?.delivery == .etrnOnly)
        }
    }

    /// Releases one batch; false when the queue refused, or the flush has ended.
    private func release(_ batch: ArraySlice<QueueID>, in id: FlushID, unthrottle: Bool) async -> Bool {
        guard let flush = tracker[id]?.flush else { return false }
        var claimed: [QueueID] = []
        for message in batch where tracker.claim(message, for: id) { claimed.append(message) }
        guard !claimed.isEmpty else { return true }
        do {
            let results = try await queue.release(claimed, by: id, for: scope(of: flush), unthrottle: unthrottle)
            for (message, result) in zip(claimed, results) {
                if result == .vanished { forget(message, meantBy: scope(of: flush)) }
                if result == .released { counters.released += 1 }
                tracker.answered(message, result, for: id)
            }
            changed(id)
            return true
        } catch {
            tracker.unclaim(claimed, reason: "\(error)", for: id)
            changed(id)
            return false
        }
    }

    /// The flush has changed: whoever waits for that is woken, and it ends when nothing is open.
    func changed(_ id: FlushID) {
        unsaved.insert(id)
        if let ended = tracker.end(id, at: time.now) { keep(ended) }
        wake(id)
    }

    private func keep(_ ended: Flush) {
        recent.keep(ended)
        unsaved.remove(ended.id)
        if ended.matched > 0 { unsavedEnded.keep(ended) }
        if latest[ended.selector] == ended.id { latest[ended.selector] = nil }
        counters.delivered += ended.delivered
        counters.deferredAgain += ended.deferredAgain
        counters.bounced += ended.bounced
        counters.departed += ended.departed
        if case .domain(let domain, let subdomains) = ended.selector {
            for name in index.numbers(of: domain, subdomains: subdomains).map(index.name) where lastFlushes[name]?.id == ended.id {
                lastFlushes[name]?.state = ended.state
            }
        }
        wake(ended.id)
    }
}
