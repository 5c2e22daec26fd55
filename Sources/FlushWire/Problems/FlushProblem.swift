// What the flush core refuses, as a problem and back: the only place that knows which error is which.

import FlushCore

/// A refusal of the flush core in the terms of RFC 9457.
///
/// `init(_:)` and `error` are each other's reverse: whoever asks over HTTP gets the error that the server's core threw.
public struct FlushProblem: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        case text(String)
        case integer(Int)
        case null
    }

    public struct Member: Sendable, Equatable {
        public var name: String
        public var value: Value

        public init(_ name: String, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    public var kind: ProblemKind
    /// The HTTP status.
    public var status: Int
    /// Nil for the status's own phrase.
    public var title: String?
    public var detail: String
    /// What a program needs to know besides, as extension members of the document.
    public var members: [Member]
    /// For the field `Retry-After`.
    public var retryAfterSeconds: Int?

    init(
        _ kind: ProblemKind, _ status: Int, title: String? = nil, _ detail: String, _ members: [Member] = [], retryAfterSeconds: Int? = nil
    ) {
        self.kind = kind
        self.status = status
        self.title = title
        self.detail = detail
        self.members = members
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// No `default`: a new case does not compile until it has its answer here.
    public init(_ error: FlushError) {
        func text(_ name: String, _ value: some CustomStringConvertible) -> Member { Member(name, .text(value.description)) }
        switch error {
        case .notEligible(let domain, let reason):
            self.init(.notEligible, 403, title: "The policy refuses", reason, [text("domain", domain)])
        case .messageNotFound(let id):
            self.init(.notFound, 404, "No message in the queue has the ID \(id).", [text("queue_id", id)])
        case .messageBusy(let id):
            self.init(.messageBusy, 409, "\(id) is in delivery at this moment; ask again in a moment.", [text("queue_id", id)])
        case .unsupported(let what):
            self.init(.unsupported, 501, what)
        case .versionMismatch(let domain, let current):
            let now = current.map { "is at version \($0)" } ?? "does not exist"
            self.init(
                .versionMismatch, 412, "\(domain) \(now). Read it again and decide anew; nothing was changed.",
                [text("domain", domain), Member("version", current.map { .integer($0) } ?? .null)])
        case .mailQueued(let domain, let messages):
            self.init(
                .mailQueued, 409,
                "\(messages) messages wait for \(domain). Set its state to draining and flush it first, or remove it with ?force=true; nothing was changed.",
                [text("domain", domain), Member("messages", .integer(messages))])
        case .tooManyRemovals(let count, let allowed):
            self.init(
                .tooManyRemovals, 409, "This would remove \(count) relay domains, and max_delete allows \(allowed); nothing was changed.",
                [Member("removals", .integer(count)), Member("max_delete", .integer(allowed))])
        case .ownedByOther(let domain, let owner):
            self.init(
                .ownedByOther, 409,
                owner.isEmpty
                    ? "\(domain) is provisioned by somebody who named no owner; nothing was changed."
                    : "\(domain) is provisioned by the owner \"\(owner)\"; nothing was changed.",
                [text("domain", domain), text("owner", owner)])
        case .limited(let retryAfter):
            let (seconds, attoseconds) = retryAfter.components
            let whole = Int(clamping: seconds) + (attoseconds > 0 ? 1 : 0)
            self.init(.limited, 429, "Too much is under way; ask again later.", retryAfterSeconds: max(1, whole))
        case .queueUnavailable(let reason):
            self.init(.unavailable, 503, reason, retryAfterSeconds: 5)
        }
    }

    /// The error that this was made of; nil when it is none of the core's.
    public var error: FlushError? {
        switch kind {
        case .notEligible: domain.map { .notEligible($0, reason: detail) }
        case .notFound: queueID.map { .messageNotFound($0) }
        case .messageBusy: queueID.map { .messageBusy($0) }
        case .unsupported: .unsupported(detail)
        case .versionMismatch: domain.map { .versionMismatch($0, current: integer("version")) }
        case .mailQueued:
            if let domain, let messages = integer("messages") { .mailQueued(domain, messages: messages) } else { nil }
        case .tooManyRemovals:
            if let count = integer("removals"), let allowed = integer("max_delete") { .tooManyRemovals(count: count, allowed: allowed) } else { nil }
        case .ownedByOther:
            if let domain, case .text(let owner)? = self["owner"] { .ownedByOther(domain, owner: owner) } else { nil }
        case .limited: .limited(retryAfter: .seconds(retryAfterSeconds ?? 1))
        case .unavailable: .queueUnavailable(reason: detail)
        case .badRequest, .forbidden, .mediaType, .failure: nil
        }
    }

    private subscript(name: String) -> Value? { members.first { $0.name == name }?.value }

    private func integer(_ name: String) -> Int? {
        if case .integer(let number)? = self[name] { number } else { nil }
    }

    private var domain: DomainName? {
        if case .text(let text)? = self["domain"] { DomainName(text) } else { nil }
    }

    private var queueID: QueueID? {
        if case .text(let text)? = self["queue_id"] { QueueID(text) } else { nil }
    }
}
