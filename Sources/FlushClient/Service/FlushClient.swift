// The flush service, asked over HTTP.

import DispatchSockets
import FlushCore
import FlushWire

/// `FlushService` and `RelayDomainService` of a server elsewhere. A caller cannot tell it from the server's own core, but for this:
///
/// - who asked and by which way is what the server saw: `requestedBy` and `via` of a request are not sent, nor is an author;
/// - `add`, `refresh` and `purge` are for the daemon's own host and throw `.unsupported`;
/// - what never reached the server is `.queueUnavailable`, with address and reason; what the API refuses of a request's form is
///   `.unsupported`.
public struct FlushClient: FlushService, RelayDomainService {
    /// The same server as plain calls, with all that it says.
    public let api: APIClient

    /// - Parameter loop: carries the connections; the client may be asked from anywhere.
    public init(to address: ServerAddress, options: FlushClientOptions = FlushClientOptions(), loop: EventLoop) {
        api = APIClient(to: address, options: options, loop: loop)
    }

    /// Ends all requests and closes all connections. Must be called before the last reference goes.
    public func shutdown() async { await api.shutdown() }

    public func add(_ id: QueueID, to domain: DomainName) async throws(FlushError) {
        throw .unsupported("Messages are recorded on the daemon's own host, not over HTTP.")
    }

    public func flush(_ request: FlushRequest) async throws(FlushError) -> Flush { try await flush(request, dryRun: false) }

    public func preview(_ request: FlushRequest) async throws(FlushError) -> Flush { try await flush(request, dryRun: true) }

    private func flush(_ request: FlushRequest, dryRun: Bool) async throws(FlushError) -> Flush {
        var options = APIClient.FlushOptions()
        options.dryRun = dryRun
        options.note = request.note
        options.fastOnly = !request.mayFlushAll
        return try await asking { [options] () async throws(FlushClientError) in try await api.flush(request.selector, options) }
    }

    public func flush(_ id: FlushID, waitingFor patience: Duration) async throws(FlushError) -> Flush? {
        let deadline = ContinuousClock.now + max(.zero, patience)
        while true {
            // The server waits for half a minute at most: a longer wait is several.
            let left = deadline - .now
            let flush = try await asking { () async throws(FlushClientError) in try await api.flush(id, wait: left) }
            let isLast = left <= .seconds(APIClient.longestServerWait)
            guard let flush, flush.state == .running, !isLast else { return flush }
        }
    }

    public func flushes(_ query: FlushQuery) async throws(FlushError) -> [Flush] {
        try await pages(from: query.before?.description, limit: query.limit) { (cursor, limit) throws(FlushClientError) in
            try await api.flushes(domain: query.domain, state: query.state, cursor: cursor, limit: limit)
        }
    }

    public func cancel(_ id: FlushID) async throws(FlushError) -> Flush? {
        try await asking { () async throws(FlushClientError) in try await api.cancelFlush(id) }
    }

    public func refresh() async throws(FlushError) -> Int {
        throw .unsupported("Records are refreshed by the daemon itself, not over HTTP.")
    }

    public func purge() async throws(FlushError) -> Int {
        throw .unsupported("Records are purged by the daemon itself, not over HTTP.")
    }

    public func domains(_ query: DomainQuery) async throws(FlushError) -> [DomainSummary] {
        // No name begins with what a name cannot have.
        let isPossible = query.prefix.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "-"),
                UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard isPossible, query.prefix.utf8.count <= DomainName.maximumLength else { return [] }
        return try await pages(from: query.after?.description, limit: query.limit) { (cursor, limit) throws(FlushClientError) in
            try await api.domains(
                prefix: query.prefix.isEmpty ? nil : query.prefix, waitingOnly: query.waitingOnly, cursor: cursor, limit: limit)
        }
    }

    public func domain(_ name: DomainName) async throws(FlushError) -> DomainDetail? {
        try await asking { () async throws(FlushClientError) in try await api.domain(name) }
    }

    public func messages(for domain: DomainName, after cursor: MessageCursor?, limit: Int) async throws(FlushError) -> MessagePage? {
        var page = MessagePage(messages: [], next: cursor)
        repeat {
            let from = page.next.map { String($0.sequence) }
            let left = min(APIClient.longestPage, max(1, limit - page.messages.count))
            guard
                let found = try await asking({ () async throws(FlushClientError) in
                    try await api.messages(for: domain, cursor: from, limit: left)
                })
            else { return nil }
            page.messages += found.items
            page.next = found.next.flatMap(UInt32.init).map(MessageCursor.init)
        } while page.next != nil && page.messages.count < limit
        return page
    }

    public func message(_ id: QueueID) async throws(FlushError) -> MessageDescription {
        try await asking { () async throws(FlushClientError) in try await api.message(id) }
    }

    public func remove(_ id: QueueID) async throws(FlushError) {
        try await asking { () async throws(FlushClientError) in try await api.removeMessage(id) }
    }

    public func status() async throws(FlushError) -> FlushStatus {
        try await asking { () async throws(FlushClientError) in try await api.status() }.status
    }

    // MARK: Helpers

    func asking<Value>(_ call: () async throws(FlushClientError) -> Value) async throws(FlushError) -> Value {
        do throws(FlushClientError) { return try await call() } catch { throw FlushError(error) }
    }

    /// As many entries as are wanted, page by page.
    func pages<Item>(
        from cursor: String?, limit: Int, _ ask: (_ cursor: String?, _ limit: Int) async throws(FlushClientError) -> AnswerPage<Item>
    ) async throws(FlushError) -> [Item] {
        var items: [Item] = []
        var cursor = cursor
        while items.count < limit {
            let (from, left) = (cursor, min(APIClient.longestPage, limit - items.count))
            let page = try await asking { () async throws(FlushClientError) in try await ask(from, left) }
            items += page.items
            // A page that is empty and not the last one would go on for ever.
            guard let next = page.next, !page.items.isEmpty else { break }
            cursor = next
        }
        return items
    }
}
