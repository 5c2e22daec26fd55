// A UNIX socket's file: how it comes to be, and how it goes.

import Glibc

/// The file of a bound UNIX socket.
///
/// A crash leaves the file behind. The next bind finds that nobody answers and replaces it; a socket that answers, or a file of
/// another kind, is left alone.
struct SocketFile {
    let path: String
    private let device: dev_t
    private let inode: ino_t

    /// Attempts at binding while others come and go at the same path.
    private static let attempts = 4

    /// Binds `descriptor` to `path`; nobody but `mode` allows can connect at any moment.
    static func bind(_ descriptor: CInt, to path: String, mode: UInt32) throws(SocketError) -> SocketFile {
        let address = SocketAddress.unix(path: path)
        // The file is created with this mode less the umask's bits, so never with more than asked for.
        guard fchmod(descriptor, mode) == 0 else { throw .system(operation: "fchmod for \(address)", code: errno) }
        for _ in 0..<attempts {
            let code = address.withSystemAddress { Glibc.bind(descriptor, $0, $1) == 0 ? 0 : errno }
            switch code {
            case 0: return try finish(path: path, mode: mode)
            case EADDRINUSE: try clear(path)
            default: throw .system(operation: "bind to \(address)", code: code)
            }
        }
        throw .inUse("\(address): others keep binding to this path")
    }

    private static func finish(path: String, mode: UInt32) throws(SocketError) -> SocketFile {
        guard chmod(path, mode) == 0, let status = status(of: path) else {
            let code = errno
            unlink(path)
            throw .system(operation: "chmod \(path)", code: code)
        }
        return SocketFile(path: path, device: status.st_dev, inode: status.st_ino)
    }

    /// Removes a stale socket out of the way.
    private static func clear(_ path: String) throws(SocketError) {
        guard let status = status(of: path) else {
            if errno == ENOENT { return }
            throw .system(operation: "lstat \(path)", code: errno)
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw .inUse("unix:\(path): there is a file at this path that is no socket; it stays as it is")
        }
        guard try !answers(path) else { throw .inUse("unix:\(path): another process listens at this socket") }
        // Somebody else may have replaced it since: what is moved aside is looked at again before it is removed.
        let aside = path + ".stale"
        guard aside.utf8.count <= SocketAddress.longestPath else {
            guard unlink(path) == 0 || errno == ENOENT else { throw .system(operation: "unlink \(path)", code: errno) }
            return
        }
        guard rename(path, aside) == 0 else {
            if errno == ENOENT { return }
            throw .system(operation: "rename \(path)", code: errno)
        }
        defer { unlink(aside) }
        if try answers(aside) {
            link(aside, path)
            throw .inUse("unix:\(path): another process has just begun to listen at this socket")
        }
    }

    /// True when somebody listens at the socket.
    private static func answers(_ path: String) throws(SocketError) -> Bool {
        let probe = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { throw .system(operation: "socket", code: errno) }
        defer { close(probe) }
        let code = SocketAddress.unix(path: path).withSystemAddress { connect(probe, $0, $1) == 0 ? 0 : errno }
        switch code {
        case 0, EAGAIN: return true  // EAGAIN: its backlog is full.
        case ECONNREFUSED, ENOENT: return false
        default: throw .system(operation: "connect to unix:\(path)", code: code)
        }
    }

    /// Removes the file if it is still the one that was bound.
    func remove() {
        guard let status = Self.status(of: path), status.st_dev == device, status.st_ino == inode else { return }
        unlink(path)
    }

    private static func status(of path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }
}
