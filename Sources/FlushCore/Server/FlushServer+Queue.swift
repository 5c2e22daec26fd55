// How the index follows the queue: events as they come, a scan at start and every `reconcile_interval`.

extension FlushServer {
    public func add(_ id: QueueID, to domain: DomainName) {
        counters.adds += 1
        if index.add(id, to: domain, at: time.now) { journal.append(id, to: domain) }
    }

    func followQueue() async {
        var taken = 0
        for await event in queue.events {
            take(event)
            if Task.isCancelled { return }
            taken += 1
            if taken % Limits.eventsPerTurn == 0 { await Task.yield() }
        }
    }

    private func take(_ event: QueueEvent) {
        switch event {
        case .queued(let message): record(message)
        case .attempted(let attempt):
            if let remaining = attempt.remaining { record(remaining) } else { forget(attempt.id) }
            for outcome in attempt.outcomes {
                guard let reason = outcome.reason else { continue }
                index.updateRecord(of: outcome.domain) { $0.lastReason = reason }
            }
            if let flush = tracker.attempted(attempt) { changed(flush) }
        case .left(let id):
            forget(id)
            if let flush = tracker.left(id) { changed(flush) }
        case .rescanNeeded: Task { await self.reconcile() }
        }
    }

    private func record(_ message: QueuedMessage) {
        let before = index.domains(of: message.id)
        index.update(message, at: time.now)
        noteInJournal(message.id, before: before, after: message.domains)
    }

    /// Drops a message that is no longer in the queue.
    func forget(_ id: QueueID) {
        let before = index.domains(of: id)
        if index.remove(id, at: time.now) { noteInJournal(id, before: before, after: []) }
    }

    /// Drops what the queue says is gone: the message, or only its wait for the domains that were meant; for others it may still wait.
    func forget(_ id: QueueID, meantBy selector: FlushSelector) {
        let before = index.domains(of: id)
        if index.remove(id, from: selector.means, at: time.now) { noteInJournal(id, before: before, after: index.domains(of: id)) }
    }

    private func noteInJournal(_ id: QueueID, before: [DomainName], after: [DomainName]) {
        for domain in after where !before.contains(domain) { journal.append(id, to: domain) }
        for domain in before where !after.contains(domain) {
            guard let record = index.record(domain) else { continue }
            if record.messages == 0 || record.loggedLines > 2 * record.messages + Limits.staleLines { journal.rewrite(domain) }
        }
    }

    // MARK: Scans

    /// At start: what the log files remember, then what the queue says.
    func fillIndex() async {
        await loadLogs()
        await reconcile()
    }

    private func loadLogs() async {
        do {
            _ = try await logs.load { domain, ids in await self.remember(ids, for: domain) }
            areLogsLoaded = true
        } catch {
            report(.loadLogs("\(error)"))
        }
    }

    private func remember(_ ids: [QueueID], for domain: DomainName) {
        let now = time.now
        // Once the queue itself has been read, a file that could not be read until then knows nothing new.
        if !isIndexComplete { for id in ids { index.add(id, to: domain, at: now) } }
        index.updateRecord(of: domain) { $0.loggedLines = ids.count }
        // A file of a domain without mail is removed.
        if index.record(domain).map({ $0.messages == 0 }) ?? true { journal.rewrite(domain) }
    }

    func keepReconciling() async {
        while !Task.isCancelled {
            await time.sleep(for: isIndexComplete ? parameters.reconcileInterval : min(Limits.failedScanPause, parameters.reconcileInterval))
            if Task.isCancelled { return }
            if !areLogsLoaded { await loadLogs() }
            await reconcile()
        }
    }

    /// Makes the index equal to the queue. One at a time; a wish for another during one is fulfilled after it.
    public func reconcile() async {
        guard !isReconciling else {
            wantsReconcile = true
            return
        }
        isReconciling = true
        repeat {
            wantsReconcile = false
            await scanOnce()
        } while wantsReconcile && !Task.isCancelled
        isReconciling = false
    }

    private func scanOnce() async {
        index.beginScan()
        let drift = ScanDrift()
        var failure: String?
        var stale = 0
        do {
            try await queue.scan { page in await self.takeScanned(page, drift) }
            var next: Int? = 0
            while let start = next {
                let slice = index.sweep(from: start, limit: Limits.sweepSlice, at: time.now)
                stale += slice.dropped.count
                for (id, domains) in slice.dropped { noteInJournal(id, before: domains, after: []) }
                next = slice.next
                await Task.yield()
            }
        } catch {
            failure = "\(error)"
            report(.reconcile("\(error)"))
        }
        index.endScan()
        if failure == nil { isIndexComplete = true }
        endFilling()
        lastReconcile = .init(at: time.now, missing: drift.missing, stale: stale, changed: drift.changed, failure: failure)
    }

    private func takeScanned(_ page: [QueuedMessage], _ drift: ScanDrift) async {
        for start in stride(from: 0, to: page.count, by: Limits.scanSlice) {
            takeScanned(page[start..<min(start + Limits.scanSlice, page.count)], drift)
            await Task.yield()
        }
    }

    private func takeScanned(_ slice: ArraySlice<QueuedMessage>, _ drift: ScanDrift) {
        let now = time.now
        for message in slice {
            let before = index.domains(of: message.id)
            switch index.scanned(message, at: now) {
            case .none: continue
            case .added: drift.missing += 1
            case .changed: drift.changed += 1
            }
            noteInJournal(message.id, before: before, after: index.domains(of: message.id))
        }
    }
}

/// What a scan has corrected so far. Touched by the server's methods only, and so only on its executor.
private final class ScanDrift: @unchecked Sendable {
    var missing = 0
    var changed = 0
}
