// The process's limits, as far as sockets care.

import Glibc

/// Limits of this process.
public enum ProcessLimits {
    /// Raises the soft limit of open descriptors to the hard one.
    ///
    /// - Returns: how many descriptors the process may have open now.
    @discardableResult
    public static func raiseOpenFiles() throws(SocketError) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw .system(operation: "getrlimit", code: errno)
        }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
                throw .system(operation: "setrlimit", code: errno)
            }
        }
        return Int(clamping: limit.rlim_cur)
    }
}
