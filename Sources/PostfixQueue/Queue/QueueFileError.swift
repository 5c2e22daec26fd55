// Why a file below the queue directory could not be used.

import Glibc

enum QueueFileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Not a complete message: somebody is writing it, or Postfix has marked it corrupt.
    case incomplete
    /// What it holds is no message; the text says where it stops making sense.
    case corrupt(String)
    case system(operation: String, code: CInt)

    var description: String {
        switch self {
        case .incomplete: "the queue file is not complete"
        case .corrupt(let what): "the queue file makes no sense: \(what)"
        case .system(let operation, let code): "\(operation): \(String(cString: strerror(code)))"
        }
    }

    var isMissing: Bool {
        if case .system(_, ENOENT) = self { return true }
        return false
    }
}
