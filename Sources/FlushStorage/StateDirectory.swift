// Who may hold the state directory, and how its files come to be.

import FlushCore
import Glibc
import SystemPackage

/// Makes and checks the directories and files that hold state: ours alone, whoever runs the process.
///
/// A wrong owner is found here, at the start and with a clear text, instead of later as a refusal in the middle of the work.
enum StateDirectory {
    static let directoryMode: mode_t = 0o700
    static let fileMode: mode_t = 0o600

    /// Makes a directory that is not there (not its parents) and checks one that is.
    static func ensureDirectory(_ path: String) throws(StoreError) {
        if mkdir(path, directoryMode) != 0, errno != EEXIST { throw failure(path) }
        var status = stat()
        // Not lstat: an administrator may have put the directory elsewhere.
        guard stat(path, &status) == 0 else { throw failure(path) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .unavailable("\(path): Not a directory") }
        try checkOwner(status, of: path)
        // Others who may write could put files in our place. What is too open by mistake is the administrator's to close: the
        // path may be a slip (`/tmp`), and then nothing may be changed there.
        guard status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
            throw .unavailable("\(path): others may write to this directory; it must have mode 0700")
        }
    }

    /// Makes an empty file that is not there, and checks one that is; its mode is 0600 afterwards.
    static func ensureFile(_ path: String) throws(StoreError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, fileMode)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(path) }
        try check(status, of: path)
        if status.st_mode & 0o777 != fileMode, fchmod(descriptor, fileMode) != 0 { throw failure(path) }
    }

    /// Checks a file that need not be there.
    static func checkFileIfPresent(_ path: String) throws(StoreError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw failure(path) }
            return
        }
        try check(status, of: path)
    }

    /// What the last system call said about a path.
    static func failure(_ path: String, _ code: Errno = Errno(rawValue: errno)) -> StoreError {
        .unavailable("\(path): \(code)")
    }

    private static func check(_ status: stat, of path: String) throws(StoreError) {
        guard status.st_mode & S_IFMT == S_IFREG else { throw .unavailable("\(path): not a regular file") }
        try checkOwner(status, of: path)
    }

    private static func checkOwner(_ status: stat, of path: String) throws(StoreError) {
        let user = geteuid()
        guard status.st_uid == user else {
            throw .unavailable("\(path): belongs to user ID \(status.st_uid), but this process runs as \(user)")
        }
    }
}
