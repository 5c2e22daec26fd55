// Looks at files, directories and file systems.

import Glibc

enum Files {
    /// Follows symbolic links, as those who use the path do.
    static func look(at path: String) -> FileFacts {
        var status = stat()
        guard stat(path, &status) == 0 else {
            let code = errno
            return FileFacts(path: path, kind: code == ENOENT || code == ENOTDIR ? .missing : .hidden(text(of: code)))
        }
        let kind: FileFacts.Kind =
            switch status.st_mode & S_IFMT {
            case S_IFDIR: .directory
            case S_IFREG: .regular
            case S_IFSOCK: .socket
            case S_IFIFO: .fifo
            default: .other
            }
        return FileFacts(
            path: path, kind: kind, mode: status.st_mode & 0o7777, owner: status.st_uid, group: status.st_gid,
            ownerName: Accounts.name(of: status.st_uid))
    }

    /// The directory that a path is in.
    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    /// The first directory on the way to `path` that `identity` cannot search; nil when there is none.
    static func closedDirectory(onTheWayTo path: String, for identity: Identity) -> String? {
        var end = path.startIndex
        while let slash = path[end...].firstIndex(of: "/") {
            let directory = look(at: slash == path.startIndex ? "/" : String(path[..<slash]))
            if directory.kind == .directory, !directory.gives([.search], to: identity) { return directory.path }
            end = path.index(after: slash)
        }
        return nil
    }

    /// What a user without privileges may still write below `path`; nil when it is not there.
    static func room(at path: String) -> (bytes: Int, files: Int?)? {
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 else { return nil }
        let (bytes, overflow) = Int(clamping: facts.f_bavail).multipliedReportingOverflow(by: Int(clamping: facts.f_frsize))
        // Some file systems make inodes as they need them, and tell 0 for the total.
        return (overflow ? .max : bytes, facts.f_files == 0 ? nil : Int(clamping: facts.f_favail))
    }

    static func text(of code: CInt) -> String { String(cString: strerror(code)) }
}
