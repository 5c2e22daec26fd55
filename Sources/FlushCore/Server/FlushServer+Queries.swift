// What can be asked of destinations, messages and past flushes.

extension FlushServer {
    public func domains(_ query: DomainQuery) async -> [DomainSummary] {
        await waitForFirstScan()
        guard query.limit > 0 else { return [] }
        var numbers: [Int32] = []
        index.visitDomains(after: query.after, prefix: query.prefix) { number in
            if !query.waitingOnly || index.records[Int(number)].messages > 0 { numbers.append(number) }
            return numbers.count < query.limit
        }
        return numbers.map { summary(index.name($0), recorded: $0) }
    }

    public func domain(_ name: DomainName) async -> DomainDetail? {
        await waitForFirstScan()
        guard isKnown(name) else { return nil }
        var buckets = Array(repeating: 0, count: DomainDetail.ageBucketMinutes.count + 1)
        if let record = index.record(name) {
            let now = time.now.seconds
            for arrival in index.arrivals(in: record) {
                let minutes = (now - Int64(arrival)) / 60
                buckets[DomainDetail.ageBucketMinutes.firstIndex { minutes < $0 } ?? buckets.count - 1] += 1
            }
        }
        return DomainDetail(summary: summary(name, recorded: index.number(of: name)), ageBuckets: buckets)
    }

    public func messages(for domain: DomainName, after cursor: MessageCursor?, limit: Int) async throws(FlushError) -> MessagePage? {
        await waitForFirstScan()
        guard isKnown(domain) else { return nil }
        let page = index.page(of: domain, after: cursor?.sequence, limit: limit)
        var messages = try await describe(page.ids)
        // A page of a thousand would carry the words of many thousand attempts.
        for place in messages.indices { messages[place].history = [] }
        return MessagePage(messages: messages, next: page.next.map(MessageCursor.init))
    }

    public func message(_ id: QueueID) async throws(FlushError) -> MessageDescription {
        guard let message = try await describe([id]).first else { throw .messageNotFound(id) }
        return message
    }

    public func remove(_ id: QueueID) async throws(FlushError) {
        do { try await queue.remove(id) } catch { throw FlushError(error) }
        forget(id)
    }

    public func flushes(_ query: FlushQuery) async throws(FlushError) -> [Flush] {
        func isWanted(_ flush: Flush) -> Bool {
            if let before = query.before, flush.id >= before { return false }
            if let state = query.state, flush.state != state { return false }
            if let domain = query.domain,
                !(flush.selector == .domain(domain, subdomains: false) || flush.selector == .domain(domain, subdomains: true))
            {
                return false
            }
            return true
        }
        // The store may be a second behind: what memory has of a flush is newer, also when it no longer fits the question.
        var found: [FlushID: Flush] = [:]
        do {
            for flush in try await history.flushes(query) {
                if tracker[flush.id] == nil, recent[flush.id] == nil, unsavedEnded[flush.id] == nil { found[flush.id] = flush }
            }
        } catch {
            throw .queueUnavailable(reason: "the flush history: \(error)")
        }
        for flush in tracker.runningFlushes where isWanted(flush) { found[flush.id] = flush }
        for flush in unsavedEnded.all where isWanted(flush) { found[flush.id] = flush }
        for flush in recent.all where isWanted(flush) { found[flush.id] = flush }
        return Array(found.values.sorted { $0.id > $1.id }.prefix(query.limit))
    }

    /// Whether a domain has a record or would get one of its own.
    private func isKnown(_ domain: DomainName) -> Bool {
        index.record(domain) != nil || policy.fastFlushDomains.match(domain, store: isProvisioned) == .yes
    }

    /// - Parameter number: the domain's record; nil while it has none.
    private func summary(_ domain: DomainName, recorded number: Int32?) -> DomainSummary {
        let isListed = policy.fastFlushDomains.match(domain, store: isProvisioned) == .yes
        let isDraining = relayDomainDirectory.covering(domain)?.state == .draining
        var summary = DomainSummary(
            domain: domain, mode: isListed ? .fast : .slow, state: !isListed ? .unlisted : isDraining ? .draining : .active,
            messages: 0, bytes: 0, oldestArrival: nil, lastReason: nil, lastFlush: lastFlushes[domain])
        if let number {
            summary.messages = index.records[Int(number)].messages
            summary.bytes = index.records[Int(number)].bytes
            summary.oldestArrival = index.oldestArrival(of: number)
            summary.lastReason = index.records[Int(number)].lastReason
        }
        return summary
    }

    private func describe(_ ids: [QueueID]) async throws(FlushError) -> [MessageDescription] {
        do { return try await queue.describe(ids) } catch { throw FlushError(error) }
    }
}

extension FlushError {
    public init(_ error: MailQueueError) {
        self =
            switch error {
            case .notFound(let id): .messageNotFound(id)
            case .busy(let id): .messageBusy(id)
            case .unsupported(let what): .unsupported(what)
            case .unavailable(let reason): .queueUnavailable(reason: reason)
            }
    }
}
