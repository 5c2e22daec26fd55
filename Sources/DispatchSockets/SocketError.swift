// Why a socket operation failed.

import Glibc

/// What went wrong, as far as a caller can act on it.
public enum SocketError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The text is no address that we can use; the payload says which text and why.
    case address(String)
    /// A system call failed with this errno.
    case system(operation: String, code: CInt)
    /// A bound of ours was reached, such as a connection's write backlog.
    case resource(String)
    /// Somebody else listens at this address, or a file that is no socket is in the way.
    case inUse(String)

    public var description: String {
        switch self {
        case .address(let text), .resource(let text), .inUse(let text): text
        case .system(let operation, let code): "\(operation): \(Self.text(of: code))"
        }
    }

    /// True when the peer just went away: a reset, or writing to a socket that it has closed.
    public var isDisconnect: Bool {
        switch self {
        case .system(_, let code): code == ECONNRESET || code == EPIPE || code == ECONNABORTED
        case .address, .resource, .inUse: false
        }
    }

    private static let longestText = 128

    private static func text(of code: CInt) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: longestText) { buffer in
            guard let start = buffer.baseAddress, strerror_r(code, start, buffer.count) == 0 else { return "error \(code)" }
            return String(cString: start)
        }
    }
}
