// Reports of undeliverable mail that an engine keeps because nothing can carry them.

/// The kept reports of an engine that writes its own (the spool; Postfix's bounce(8) sends them on).
public protocol BounceReports: Sendable {
    /// In the order of their IDs, from the first after `id`; at most `limit`, and without their content.
    func bounces(after id: QueueID?, limit: Int) async throws(MailQueueError) -> [KeptReport]
    /// One with its content.
    ///
    /// - Throws: `MailQueueError.notFound`.
    func bounce(_ id: QueueID) async throws(MailQueueError) -> KeptReport
    /// Drops one. Durable when it returns.
    ///
    /// - Throws: `MailQueueError.notFound`.
    func removeBounce(_ id: QueueID) async throws(MailQueueError)
}

/// A report that nobody could carry: there is no `relayhost`, the original has the null sender, or the report itself came back.
public struct KeptReport: Sendable, Equatable {
    /// A report is bounded by its original's recipients and headers; this bounds what is answered of it.
    public static let maximumContent = 1 << 20

    /// The report's own ID.
    public var id: QueueID
    /// The message that it is about.
    public var original: QueueID
    /// When the report was made.
    public var arrival: Timestamp
    /// The report's bytes.
    public var size: Int
    /// Who sent the original; empty for the null sender.
    public var sender: String
    /// Whom the original did not reach.
    public var recipients: [String]
    /// What was said about the first of them.
    public var reason: String
    /// The report as it would have been sent (RFC 3464), at most `maximumContent` bytes of it; nil in lists.
    public var content: String?

    public init(
        id: QueueID, original: QueueID, arrival: Timestamp, size: Int, sender: String, recipients: [String], reason: String,
        content: String? = nil
    ) {
        self.id = id
        self.original = original
        self.arrival = arrival
        self.size = size
        self.sender = sender
        self.recipients = recipients
        self.reason = reason
        self.content = content
    }
}
