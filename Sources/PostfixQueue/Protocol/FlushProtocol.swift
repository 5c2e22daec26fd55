// What Postfix's programs ask of flush(8), and what it answers; see flush(8). No sockets.

import FlushCore

/// A request as a client of flush(8) makes it.
enum FlushProtocolRequest: Equatable, Sendable {
    case add(site: String, queueID: String)
    case sendSite(String)
    case sendFile(queueID: String)
    case refresh
    case purge

    /// Why a list is no request.
    enum Invalid: Error, Equatable {
        /// An attribute that the request needs is missing or not where it belongs.
        case malformed
        /// Not even the kind of request can be told: such a client gets no status.
        case unknown
    }

    /// Reads a list. The order of its attributes counts, as it does for flush(8).
    ///
    /// - Returns: the request, and whether more attributes followed than it has; they mean nothing to us.
    static func parse(_ list: AttributeList) throws(Invalid) -> (request: FlushProtocolRequest, hasMore: Bool) {
        var rest = list.attributes[...]
        guard let first = rest.popFirst(), first.name == "request" else { throw .unknown }
        func next(_ name: String) throws(Invalid) -> String {
            guard let attribute = rest.popFirst(), attribute.name == name else { throw .malformed }
            return attribute.value
        }
        let request: FlushProtocolRequest
        switch first.value {
        case "add":
            let site = try next("site")
            request = .add(site: site, queueID: try next("queue_id"))
        case "send_site": request = .sendSite(try next("site"))
        case "send_file": request = .sendFile(queueID: try next("queue_id"))
        case "rfrsh": request = .refresh
        case "purge": request = .purge
        default: throw .unknown
        }
        return (request, !rest.isEmpty)
    }
}

/// The status that ends a conversation. Negative numbers travel as unsigned.
enum FlushProtocolReply: UInt32, Equatable, Sendable {
    case ok = 0
    /// smtpd(8) makes 458 of it, postqueue(1) an error.
    case failed = 4_294_967_295
    /// The request makes no sense; 458 too, and a warning in the log.
    case bad = 3
    /// No service for this site: smtpd(8) makes 459 of it, and a delivery agent's `add` is silent on it.
    case denied = 4

    /// What the server says before anything else, since Postfix 3.6.
    static let greeting = AttributeList(["protocol": "queue_flush_protocol"]).encoded

    var encoded: [UInt8] { AttributeList(["status": "\(rawValue)"]).encoded }

    /// How a refusal of the service is told.
    init(_ error: FlushError) {
        switch error {
        case .notEligible, .limited: self = .denied
        // flush(8) has nothing against an ID that is not in the queue: there is nothing to do.
        case .messageNotFound: self = .ok
        case .queueUnavailable, .messageBusy, .unsupported, .versionMismatch, .mailQueued, .tooManyRemovals, .ownedByOther: self = .failed
        }
    }
}
