// The kinds of problems of this API, for both ends.

/// Stable names: the last part of a problem's `type`.
public enum ProblemKind: String, Sendable, CaseIterable {
    case badRequest = "bad-request"
    case forbidden
    case notEligible = "not-eligible"
    case notFound = "not-found"
    case messageBusy = "message-busy"
    case mailQueued = "mail-queued"
    case tooManyRemovals = "too-many-removals"
    case ownedByOther = "owned-by-other"
    case versionMismatch = "version-mismatch"
    case mediaType = "media-type"
    case limited
    case unavailable
    case unsupported
    case failure

    private static let prefix = "urn:etrnd:problem:"

    /// The `type` of RFC 9457.
    public var uri: String { Self.prefix + rawValue }

    /// Nil for a `type` that this API has not, `about:blank` of the HTTP layer among them.
    public init?(uri: String) {
        guard uri.hasPrefix(Self.prefix) else { return nil }
        self.init(rawValue: String(uri.dropFirst(Self.prefix.count)))
    }
}
