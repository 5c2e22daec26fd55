// What follows on disk, off everybody's way: log files and flush history.

extension FlushServer {
    /// IDs written in one call to the store; a longer log is written in several, others having their turn in between.
    private static let logSlice = 1_000
    /// Flushes written in one transaction.
    private static let historySlice = 500

    func keepWritingBehind() async {
        while !Task.isCancelled {
            await time.sleep(for: Limits.writeBehind)
            if !Task.isCancelled { await writeBehind() }
        }
    }

    /// Writes all that is behind. What fails is kept and tried with the next write.
    func writeBehind() async {
        guard !isWritingBehind else { return }
        isWritingBehind = true
        defer { isWritingBehind = false }
        await writeHistory()
        await writeLogs()
    }

    private func writeHistory() async {
        let ids = unsaved
        unsaved = []
        var rest = ids.compactMap { tracker[$0]?.flush }.filter { $0.matched > 0 }[...]
        var ended = unsavedEnded.count
        do {
            while !rest.isEmpty {
                let slice = Array(rest.prefix(Self.historySlice))
                try await history.save(slice)
                rest = rest.dropFirst(slice.count)
            }
            // After the running ones: what ended meanwhile is written over them.
            while ended > 0 {
                let slice = unsavedEnded.oldest(Self.historySlice)
                try await history.save(slice)
                unsavedEnded.dropOldest(Set(slice.map(\.id)))
                ended -= max(1, slice.count)
            }
        } catch {
            unsaved.formUnion(rest.map(\.id))
            report(.writeBehind("the flush history: \(error)"))
        }
    }

    private func writeLogs() async {
        var changes: [FlushLogChange] = []
        var failed = false
        for (domain, pending) in journal.takeAll() {
            if failed {
                journal.rewrite(domain)
                continue
            }
            guard let record = index.record(domain), record.messages > 0 else {
                changes.append(.remove(domain))
                index.updateRecord(of: domain) { $0.loggedLines = 0 }
                continue
            }
            switch pending {
            case .append(let ids) where record.loggedLines + ids.count <= 2 * record.messages + Limits.staleLines:
                changes.append(.append(domain, ids))
                index.updateRecord(of: domain) { $0.loggedLines += ids.count }
            case .append, .rewrite:
                failed = await !apply(changes)
                changes = []
                if failed { journal.rewrite(domain) } else { failed = await !rewriteLog(of: domain) }
            }
            if changes.count >= Self.historySlice {
                failed = await !apply(changes)
                changes = []
            }
        }
        _ = await apply(changes)
    }

    private func rewriteLog(of domain: DomainName) async -> Bool {
        var cursor: UInt32?
        var isFirst = true
        var lines = 0
        repeat {
            let page = index.page(of: domain, after: cursor, limit: Self.logSlice)
            guard await apply([isFirst ? .rewrite(domain, page.ids) : .append(domain, page.ids)]) else { return false }
            lines += page.ids.count
            isFirst = false
            cursor = page.next
        } while cursor != nil
        index.updateRecord(of: domain) { $0.loggedLines = lines }
        return true
    }

    /// False when the store refused; the domains are rewritten with the next write.
    private func apply(_ changes: [FlushLogChange]) async -> Bool {
        guard !changes.isEmpty else { return true }
        do {
            try await logs.apply(changes)
            return true
        } catch {
            for change in changes {
                switch change {
                case .append(let domain, _), .rewrite(let domain, _), .remove(let domain): journal.rewrite(domain)
                }
            }
            report(.writeBehind("the destination logs: \(error)"))
            return false
        }
    }
}
