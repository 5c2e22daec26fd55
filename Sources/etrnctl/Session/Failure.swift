// How a verb ends when it does not end well: a line for people, a status for scripts.

import FlushClient
import FlushCore
import FlushWire

/// Exit statuses of sysexits.h.
enum ExitStatus: Int32 {
    case usage = 64
    /// Refused for good, or no such thing.
    case data = 65
    case unavailable = 69
    /// Asking again later may work; or mail still waits.
    case temporary = 75
    case permission = 77
    case configuration = 78
}

struct Failure: Error {
    var status: ExitStatus
    /// Empty when everything has been said.
    var text: String

    init(_ status: ExitStatus, _ text: String) {
        self.status = status
        self.text = text
    }

    init(_ error: FlushClientError) {
        text = error.description
        switch error {
        case .refused(let refusal): status = Self.status(of: refusal)
        case .problem(let problem, _):
            switch problem.status {
            case 401, 403: status = .permission
            case 429, 503, 408: status = .temporary
            case 500...: status = .unavailable
            default: status = .data
            }
        case .unreachable, .foreignAnswer: status = .unavailable
        case .noAnswer, .cancelled: status = .temporary
        case .invalid: status = .data
        }
    }

    init(_ error: ETRNSendError) {
        text = error.description
        switch error.kind {
        case .unreachable: status = .unavailable
        case .broken: status = .temporary
        case .notPermitted: status = .permission
        case .invalid: status = .data
        }
    }

    /// No `default`: a new case does not compile until it has its status.
    private static func status(of refusal: FlushError) -> ExitStatus {
        switch refusal {
        case .notEligible, .messageNotFound, .versionMismatch, .mailQueued, .tooManyRemovals, .ownedByOther: .data
        case .messageBusy, .limited, .queueUnavailable: .temporary
        case .unsupported: .unavailable
        }
    }
}
