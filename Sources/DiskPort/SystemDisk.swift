// The real file system.

import Glibc
import SystemPackage

/// The disk of this machine.
public struct SystemDisk: Disk {
    public init() {}

    public func openFolder(_ path: String) throws(Errno) -> any DiskFolder { try SystemFolder(path, at: AT_FDCWD) }
}

/// What the last system call of this thread said.
private var lastError: Errno { Errno(rawValue: errno) }

private func check(_ result: CInt) throws(Errno) { if result != 0 { throw lastError } }

/// A directory that is held open.
private final class SystemFolder: DiskFolder {
    private static let folderMode: mode_t = 0o700
    private static let fileMode: mode_t = 0o600

    private let descriptor: CInt

    init(_ path: String, at parent: CInt) throws(Errno) {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        var opened = openat(parent, path, flags)
        if opened < 0, errno == ENOENT {
            guard mkdirat(parent, path, Self.folderMode) == 0 || errno == EEXIST else { throw lastError }
            opened = openat(parent, path, flags)
        }
        guard opened >= 0 else { throw lastError }
        descriptor = opened
    }

    deinit { close(descriptor) }

    func openFolder(_ name: String) throws(Errno) -> any DiskFolder { try SystemFolder(name, at: descriptor) }

    func open(_ name: String, _ access: DiskAccess) throws(Errno) -> any DiskFile {
        let flags =
            switch access {
            case .read: O_RDONLY
            case .readAndWrite: O_RDWR
            case .make: O_RDWR | O_CREAT
            case .makeNew: O_RDWR | O_CREAT | O_EXCL
            case .replace: O_WRONLY | O_CREAT | O_TRUNC
            }
        // Without O_NONBLOCK a FIFO in this place would stop us here.
        let file = openat(descriptor, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, Self.fileMode)
        guard file >= 0 else { throw lastError }
        return SystemFile(descriptor: file)
    }

    func names() throws(Errno) -> any FolderNames { try SystemNames(of: descriptor) }

    func contains(_ name: String) -> Bool { faccessat(descriptor, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 }

    func move(_ name: String, to folder: any DiskFolder, as newName: String) throws(Errno) {
        try check(renameat(descriptor, name, Self.descriptor(of: folder), newName))
    }

    func link(_ name: String, in folder: any DiskFolder, as newName: String) throws(Errno) {
        try check(linkat(descriptor, name, Self.descriptor(of: folder), newName, 0))
    }

    func remove(_ name: String) throws(Errno) { try check(unlinkat(descriptor, name, 0)) }

    func setModified(_ time: timespec, of name: String) throws(Errno) {
        try check(utimensat(descriptor, name, [SystemFile.unchanged, time], AT_SYMLINK_NOFOLLOW))
    }

    func sync() throws(Errno) { try check(fsync(descriptor)) }

    func freeBytes() throws(Errno) -> Int {
        var info = statvfs()
        try check(fstatvfs(descriptor, &info))
        let (bytes, overflow) = UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize))
        return overflow ? Int.max : Int(clamping: bytes)
    }

    func lock(_ name: String) throws(Errno) -> any DiskLock {
        let file = openat(descriptor, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, Self.fileMode)
        guard file >= 0 else { throw lastError }
        let lock = SystemLock(descriptor: file)
        try check(flock(file, LOCK_EX | LOCK_NB))
        return lock
    }

    private static func descriptor(of folder: any DiskFolder) throws(Errno) -> CInt {
        // A folder of another kind of disk is on another file system, as it were.
        guard let folder = folder as? SystemFolder else { throw .improperLink }
        return folder.descriptor
    }
}

/// Reads a directory without ever holding more than one of its names.
///
/// `@unchecked Sendable`: the stream behind the pointer has no thread of its own, and `DiskFolder.names` promises that its only reader
/// makes one call after the other. The pointer does not leave this class.
private final class SystemNames: FolderNames, @unchecked Sendable {
    private let stream: OpaquePointer

    init(of folder: CInt) throws(Errno) {
        let descriptor = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw lastError }
        guard let stream = fdopendir(descriptor) else {
            let error = lastError
            close(descriptor)
            throw error
        }
        self.stream = stream
    }

    deinit { closedir(stream) }

    func next() throws(Errno) -> String? {
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw lastError }
                return nil
            }
            // The name is NUL-terminated within its array (POSIX), which lives until the next readdir.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { return name }
        }
    }
}

private final class SystemLock: DiskLock {
    private let descriptor: CInt

    init(descriptor: CInt) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    func release() { _ = flock(descriptor, LOCK_UN) }
}
