// What every front end may ask of the flush core, and nothing deeper.

/// The flush service: the requests of Postfix's flush(8), and the questions that it could not answer.
///
/// `FlushServer` answers in this process; a client elsewhere sends the same over HTTP. Nobody may ask which one they hold.
public protocol FlushService: Sendable {
    /// Records that a message waits for a domain. Answered from memory; what is on disk follows within a second.
    func add(_ id: QueueID, to domain: DomainName) async throws(FlushError)

    /// Asks for delivery.
    ///
    /// Returns as soon as the record is taken, which is before any mail arrives; follow the flush by its ID. A domain with nothing
    /// recorded is a success: there was no mail to send, and the flush is finished already.
    ///
    /// - Returns: the flush, new or (`coalesced`) running already, with the number of messages that it matched.
    func flush(_ request: FlushRequest) async throws(FlushError) -> Flush

    /// `flush` where nothing has to be waited for. Nil: nothing was done, and the asker calls `flush`.
    func flushAtHand(_ request: FlushRequest) throws(FlushError) -> Flush?

    /// Tells what a flush would match, and touches nothing.
    func preview(_ request: FlushRequest) async throws(FlushError) -> Flush

    /// The flush, as it is now or at the end of `patience`, whichever shows it finished first; nil when it is not known.
    func flush(_ id: FlushID, waitingFor patience: Duration) async throws(FlushError) -> Flush?

    /// Newest first.
    func flushes(_ query: FlushQuery) async throws(FlushError) -> [Flush]

    /// Stops a running flush; what is not released yet stays queued. One that has ended is returned as it is; nil when it is not known.
    func cancel(_ id: FlushID) async throws(FlushError) -> Flush?

    /// Retries the records that nobody has read for `fast_flush_refresh_time`. Returns how many messages were released.
    func refresh() async throws(FlushError) -> Int

    /// Drops the records that have been empty for `fast_flush_purge_time`. Returns how many.
    func purge() async throws(FlushError) -> Int

    /// Flush domains in the order of their names.
    func domains(_ query: DomainQuery) async throws(FlushError) -> [DomainSummary]

    /// Nil for a domain that has no record and is no flush domain.
    func domain(_ name: DomainName) async throws(FlushError) -> DomainDetail?

    /// The messages that wait for a domain; nil as for `domain`.
    func messages(for domain: DomainName, after cursor: MessageCursor?, limit: Int) async throws(FlushError) -> MessagePage?

    func message(_ id: QueueID) async throws(FlushError) -> MessageDescription

    /// Removes a message from the queue. Nobody gets a report.
    func remove(_ id: QueueID) async throws(FlushError)

    func status() async throws(FlushError) -> FlushStatus

    /// `status` where nothing has to be waited for. Nil: the asker calls `status`.
    func statusAtHand() -> FlushStatus?
}

/// A service elsewhere has nothing at hand.
extension FlushService {
    public func flushAtHand(_ request: FlushRequest) throws(FlushError) -> Flush? { nil }
    public func statusAtHand() -> FlushStatus? { nil }
}

/// Why a request was not carried out.
public enum FlushError: Error, Equatable, Sendable {
    /// The policy refuses. SMTP 459, HTTP 403.
    case notEligible(DomainName, reason: String)
    /// No message has this ID. HTTP 404.
    case messageNotFound(QueueID)
    /// The message is in delivery at this moment. HTTP 409.
    case messageBusy(QueueID)
    /// The engine leaves that to its own tools, which the text names. HTTP 501.
    case unsupported(String)
    /// The relay domain is not at the version that the asker had seen. HTTP 412.
    case versionMismatch(DomainName, current: Int?)
    /// Mail waits for the relay domain. HTTP 409.
    case mailQueued(DomainName, messages: Int)
    /// The request would remove more relay domains than the asker allowed. HTTP 409.
    case tooManyRemovals(count: Int, allowed: Int)
    /// Somebody else provisions these relay domains. HTTP 409.
    case ownedByOther(DomainName, owner: String)
    /// Too much is under way. SMTP 459, HTTP 429.
    case limited(retryAfter: Duration)
    /// Asking again later may work; a client's timeout is this too. SMTP 458, HTTP 503.
    case queueUnavailable(reason: String)
}
