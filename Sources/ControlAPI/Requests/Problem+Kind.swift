// The kinds of problems of this API, and which of them an error is.

import FlushCore
import FlushWire
import HTTPServer
import HTTPTypes

extension Problem: Error {}

extension Problem {
    /// Stable names: the last part of `type`.
    enum Kind: String {
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
    }

    init(
        kind: Kind, status: HTTPResponse.Status, title: String? = nil, detail: String, errors: [Fault] = [], extensions: [Extension] = [],
        fields: HTTPFields = HTTPFields()
    ) {
        self.init(
            type: "urn:etrnd:problem:\(kind.rawValue)", status: status, title: title, detail: detail, errors: errors, extensions: extensions,
            fields: fields)
    }

    /// 400 with the places.
    init(faults: [Fault]) {
        let detail = faults.count == 1 ? faults[0].detail : "\(faults.count) places of the request are wrong; see errors."
        self.init(kind: .badRequest, status: .badRequest, title: "The request is malformed", detail: detail, errors: faults)
    }

    init(_ error: InvalidBody) { self.init(faults: error.faults.map { Fault(pointer: $0.pointer, detail: $0.detail) }) }

    /// What the flush core refuses. No `default`: a new case does not compile until it has its answer here.
    init(_ error: FlushError) {
        switch error {
        case .notEligible(_, let reason):
            self.init(kind: .notEligible, status: .forbidden, title: "The policy refuses", detail: reason)
        case .messageNotFound(let id):
            self.init(kind: .notFound, status: .notFound, detail: "No message in the queue has the ID \(id).")
        case .messageBusy(let id):
            self.init(kind: .messageBusy, status: .conflict, detail: "\(id) is in delivery at this moment; ask again in a moment.")
        case .unsupported(let what):
            self.init(kind: .unsupported, status: .notImplemented, detail: what)
        case .versionMismatch(let domain, let current):
            let now = current.map { "is at version \($0)" } ?? "does not exist"
            self.init(
                kind: .versionMismatch, status: .preconditionFailed, detail: "\(domain) \(now). Read it again and decide anew; nothing was changed.")
        case .mailQueued(let domain, let messages):
            self.init(
                kind: .mailQueued, status: .conflict,
                detail:
                    "\(messages) messages wait for \(domain). Set its state to draining and flush it first, or remove it with ?force=true; nothing was changed.",
                extensions: [Extension("messages", .integer(messages))])
        case .tooManyRemovals(let count, let allowed):
            self.init(
                kind: .tooManyRemovals, status: .conflict,
                detail: "This would remove \(count) relay domains, and max_delete allows \(allowed); nothing was changed.",
                extensions: [Extension("removals", .integer(count))])
        case .ownedByOther(let domain, let owner):
            self.init(
                kind: .ownedByOther, status: .conflict,
                detail: owner.isEmpty
                    ? "\(domain) is provisioned by somebody who named no owner; nothing was changed."
                    : "\(domain) is provisioned by the owner \"\(owner)\"; nothing was changed.")
        case .limited(let retryAfter):
            self.init(
                kind: .limited, status: .tooManyRequests, detail: "Too much is under way; ask again later.",
                fields: [.retryAfter: String(max(1, retryAfter.components.seconds))])
        case .queueUnavailable(let reason):
            self.init(kind: .unavailable, status: .serviceUnavailable, detail: reason, fields: [.retryAfter: "5"])
        }
    }

    static func notFound(_ what: String) -> Problem { Problem(kind: .notFound, status: .notFound, detail: what) }
}
