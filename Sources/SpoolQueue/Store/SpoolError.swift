// What can go wrong with the spool on disk.

import Glibc
import SystemPackage

/// Why the spool did not do what it was asked.
public enum SpoolError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The system refused; `operation` names the call and the file.
    case system(operation: String, code: CInt)
    /// A queue file is not what it should be: cut short, altered, or no queue file at all.
    case damaged(String)
    /// Another process works on this spool.
    case inUse(String)

    public var description: String {
        switch self {
        case .system(let operation, let code): "\(operation): \(Errno(rawValue: code))"
        case .damaged(let detail): detail
        case .inUse(let path): "\(path) is in use by another process"
        }
    }

    init(_ operation: String, _ error: Errno) { self = .system(operation: operation, code: error.rawValue) }

    /// There is no such file.
    var isMissing: Bool { if case .system(_, ENOENT) = self { true } else { false } }

    /// Room will do; the disk or the quota is full.
    var isFull: Bool {
        guard case .system(_, let code) = self else { return false }
        return code == ENOSPC || code == EDQUOT || code == EFBIG
    }
}
