// Refresh and purge, as in flush(8).

extension FlushServer {
    func keepMaintaining() async {
        while !Task.isCancelled {
            await time.sleep(for: Limits.maintenanceInterval)
            guard !Task.isCancelled else { return }
            _ = await refresh()
            _ = purge()
            do { try await history.trim(to: Limits.historyFlushes) } catch { report(.writeBehind("the flush history: \(error)")) }
        }
    }

    /// Retries the records that nobody has read for `fast_flush_refresh_time`, never those of `etrn-only` domains.
    public func refresh() async -> Int {
        let now = time.now
        var due: [DomainName] = []
        index.visitDomains(after: nil, prefix: "") { number in
            let record = index.records[Int(number)]
            if record.messages > 0, record.lastRead + parameters.refreshTime <= now,
                relayDomainDirectory.covering(record.name)?.delivery != .etrnOnly
            {
                due.append(record.name)
            }
            return true
        }
        var released = 0
        for domain in due {
            index.updateRecord(of: domain) { $0.lastRead = now }
            var cursor: UInt32?
            repeat {
                let page = index.page(of: domain, after: cursor, limit: Limits.releaseBatch)
                do {
                    let results = try await queue.release(page.ids, by: nil, for: .domain(domain, subdomains: false), unthrottle: false)
                    for (id, result) in zip(page.ids, results) {
                        if result == .released { released += 1 }
                        if result == .vanished { forget(id, meantBy: .domain(domain, subdomains: false)) }
                    }
                } catch {
                    report(.refresh("\(domain): \(error)"))
                    return released
                }
                cursor = page.next
            } while cursor != nil
        }
        return released
    }

    public func purge() -> Int {
        let now = time.now
        var old: [DomainName] = []
        index.visitDomains(after: nil, prefix: "") { number in
            let record = index.records[Int(number)]
            if !record.isPinned, let since = record.emptySince, since + parameters.purgeTime <= now { old.append(record.name) }
            return true
        }
        for domain in old {
            index.forget(domain)
            lastFlushes[domain] = nil
            journal.rewrite(domain)
        }
        return old.count
    }
}
