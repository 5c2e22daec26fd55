// The replies of RFC 1985, and which of them an outcome is.

import FlushCore
import SMTPServer

/// What is answered when nothing waits.
public enum ETRNEmptyReply: String, Sendable, CaseIterable {
    /// 251. fetchmail then asks for none of its further domains.
    case noMessages = "251"
    /// 253 with the number 0.
    case zeroPending = "253"
}

/// What came of the requests for one ETRN.
struct ETRNOutcome {
    var failures: [FlushError] = []
    /// Messages matched by fast flushes; one with recipients in two domains of a queue counts twice.
    var matched = 0
    /// Every deferred message is tried.
    var isSlow = false
    /// What runs was started by somebody else before.
    var joined = false
    /// The record had seen the whole queue before it was asked.
    var isCountComplete = true

    mutating func add(_ flush: Flush) {
        if flush.mode == .slow { isSlow = true }
        if flush.coalesced { joined = true }
        matched += flush.matched
    }
}

/// The replies about one node, named as the client did. RFC 1985 has its own words and no enhanced codes.
struct ETRNReplies {
    let node: String
    let empty: ETRNEmptyReply

    var badParameter: SMTPReply { SMTPReply(501, nil, "Syntax Error in Parameters") }
    var notQueued: SMTPReply { SMTPReply(458, nil, "Unable to queue messages for node \(node)") }

    func refused(_ reason: String) -> SMTPReply { SMTPReply(459, nil, "Node \(node) not allowed: \(reason)") }

    /// Of several failures the one that may pass counts, because asking again is worth while then; any failure counts more than what
    /// was started beside it.
    func reply(to outcome: ETRNOutcome) -> SMTPReply {
        let failures = outcome.failures.map(reply)
        if let failure = failures.first(where: { $0.code == 458 }) ?? failures.first { return failure }
        if outcome.isSlow { return SMTPReply(250, nil, "OK, queuing for node \(node) started") }
        // A number would be a promise.
        if outcome.joined || !outcome.isCountComplete { return SMTPReply(252, nil, "OK, pending messages for node \(node) started") }
        if outcome.matched == 0, empty == .noMessages { return SMTPReply(251, nil, "OK, no messages waiting for node \(node)") }
        return SMTPReply(253, nil, "OK, \(outcome.matched) pending messages for node \(node) started")
    }

    /// No `default`: a new case does not compile until it has its answer here.
    private func reply(to error: FlushError) -> SMTPReply {
        switch error {
        case .notEligible(_, let reason): refused(reason)
        case .limited: refused("too much is under way, try again later")
        case .queueUnavailable: notQueued
        // About single messages and relay domains, which an ETRN does not name: whoever says it is confused, perhaps not for long.
        case .messageNotFound, .messageBusy, .unsupported, .versionMismatch, .mailQueued, .tooManyRemovals, .ownedByOther: notQueued
        }
    }
}
