// Why a call got no good answer.

import FlushCore
import FlushWire

/// What went wrong between an asker and the server.
public enum FlushClientError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What the server's core threw.
    case refused(FlushError)
    /// The server refused before its core was asked: no access, a malformed request, no such path, no such thing.
    case problem(ProblemAnswer, url: String)
    /// Nobody is there: the request has not been sent.
    case unreachable(url: String, reason: String)
    /// The answer did not come, or only half of it. A request that changes something may have been carried out.
    case noAnswer(url: String, status: Int?, reason: String)
    /// Something else than the daemon answered, or one that this client does not understand.
    case foreignAnswer(url: String, status: Int, reason: String)
    /// It cannot be asked like this.
    case invalid(String)
    case cancelled

    public var description: String {
        switch self {
        case .refused(let error): FlushProblem(error).detail
        case .problem(let problem, let url):
            if problem.faults.count > 1 {
                "\(url) answered \(problem.status): " + problem.faults.map { "\($0.pointer): \($0.detail)" }.joined(separator: "; ")
            } else {
                "\(url) answered \(problem.status): \(problem.detail.isEmpty ? "no reason given" : problem.detail)"
            }
        case .unreachable(let url, let reason): "\(url) cannot be reached: \(reason)"
        case .noAnswer(let url, let status?, let reason): "\(url) broke off its answer (status \(status)): \(reason)"
        case .noAnswer(let url, nil, let reason): "\(url) did not answer: \(reason)"
        case .foreignAnswer(let url, let status, let reason): "\(url) answered \(status), but not as etrnd does: \(reason)"
        case .invalid(let reason): reason
        case .cancelled: "the request was cancelled"
        }
    }
}

extension FlushError {
    /// The same in the words of `FlushService`, whose callers cannot know that there is a client.
    public init(_ error: FlushClientError) {
        self =
            switch error {
            case .refused(let own): own
            case .problem(let problem, _) where problem.status == 400 || problem.status == 413 || problem.status == 414:
                .unsupported(error.description)
            case .invalid: .unsupported(error.description)
            case .problem, .unreachable, .noAnswer, .foreignAnswer, .cancelled: .queueUnavailable(reason: error.description)
            }
    }
}
