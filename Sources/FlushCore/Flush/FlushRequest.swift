// What somebody asks for: whose mail, by which way, and how.

/// Whose mail is meant.
public enum FlushSelector: Hashable, Sendable {
    /// One destination; with `subdomains` also every domain below it.
    case domain(DomainName, subdomains: Bool)
    /// One message, all its recipients.
    case message(QueueID)
    /// Every message in the queue.
    case everything
}

/// A request for delivery.
public struct FlushRequest: Sendable, Equatable {
    public enum Way: String, Sendable, CaseIterable { case http, smtp, postfix }

    public static let maximumNoteLength = 500

    public var selector: FlushSelector
    public var via: Way
    /// Who asks, in words that may be shown: `trusted:127.0.0.1`, `token:cust42`, `unix:0`.
    public var requestedBy: String
    /// The asker's own words; at most `maximumNoteLength` bytes, checked at the door.
    public var note: String?
    /// Whether the asker may cause a flush of the whole queue.
    public var mayFlushAll: Bool

    public init(_ selector: FlushSelector, via: Way, requestedBy: String, note: String? = nil, mayFlushAll: Bool = true) {
        self.selector = selector
        self.via = via
        self.requestedBy = requestedBy
        self.note = note
        self.mayFlushAll = mayFlushAll
    }
}
