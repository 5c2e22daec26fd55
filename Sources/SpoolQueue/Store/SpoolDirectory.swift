// The spool on disk: directories that are states, one file per message. Everything here blocks; it runs on the I/O pool.

import FlushCore
import Glibc

/// What is done to the disk; a fault plan can make any of it fail.
enum DiskOperation: String, Sendable, CaseIterable {
    case create, write, sync, move, syncFolder, remove, open, writeStatus, syncStatus, setTime, writeNotes
}

/// The directories below `<state>/spool`, held open; files are named relative to them.
///
/// A change of state is one `rename`, atomic against a crash of this process. What must survive a crash of the machine is followed by
/// a sync of the directory.
/// A crash of the machine between two syncs leaves a moved file under its old name or its new one: that is relied on, and so of ext4,
/// XFS and btrfs, which journal a rename as one change.
final class SpoolDirectory: Sendable {
    let path: String
    private let lock: CInt
    private let folders: [CInt]
    /// Asked before each operation; a code makes it fail. For tests that need a failing disk.
    private let fault: (@Sendable (DiskOperation) -> CInt?)?

    /// Opens the spool, makes what is missing, and locks it against other processes.
    ///
    /// - Throws: `.inUse` when another process has it.
    init(path: String, fault: (@Sendable (DiskOperation) -> CInt?)? = nil) throws(SpoolError) {
        self.path = path
        self.fault = fault
        let root = try Self.openFolder(path, at: AT_FDCWD)
        defer { close(root) }
        lock = try Self.takeLock(in: root, path: path)
        var opened: [CInt] = []
        do throws(SpoolError) {
            for folder in SpoolFolder.allCases { opened.append(try Self.openFolder(folder.name, at: root)) }
            // The directories themselves must outlive a crash of the machine: their names, and the spool's own.
            let parent = try Self.openFolder("..", at: root)
            defer { close(parent) }
            guard fsync(root) == 0, fsync(parent) == 0 else { throw .system(operation: "fsync \(path)", code: errno) }
        } catch {
            for descriptor in opened + [lock] { close(descriptor) }
            throw error
        }
        folders = opened
    }

    deinit {
        for descriptor in folders { close(descriptor) }
        close(lock)
    }

    /// Lets another process, or another engine in this one, have the spool.
    func unlock() { _ = flock(lock, LOCK_UN) }

    private static func openFolder(_ path: String, at parent: CInt) throws(SpoolError) -> CInt {
        guard mkdirat(parent, path, 0o700) == 0 || errno == EEXIST else { throw .system(operation: "mkdir \(path)", code: errno) }
        let descriptor = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(operation: "open \(path)", code: errno) }
        return descriptor
    }

    private static func takeLock(in root: CInt, path: String) throws(SpoolError) -> CInt {
        let descriptor = openat(root, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system(operation: "open \(path)/lock", code: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            throw code == EWOULDBLOCK ? .inUse(path) : .system(operation: "lock \(path)", code: code)
        }
        return descriptor
    }

    func descriptor(of folder: SpoolFolder) -> CInt { folders[folder.rawValue] }

    /// Fails as the fault plan wants it.
    func check(_ operation: DiskOperation) throws(SpoolError) {
        if let code = fault?(operation) { throw .system(operation: operation.rawValue, code: code) }
    }

    // MARK: Names

    /// The queue IDs in a directory, and how many names there are none.
    func list(_ folder: SpoolFolder) throws(SpoolError) -> (ids: [QueueID], foreign: Int) {
        let descriptor = openat(descriptor(of: folder), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(operation: "open \(folder.name)", code: errno) }
        guard let stream = fdopendir(descriptor) else {
            let code = errno
            close(descriptor)
            throw .system(operation: "read \(folder.name)", code: code)
        }
        defer { closedir(stream) }
        var ids: [QueueID] = []
        var foreign = 0
        errno = 0
        while let entry = readdir(stream) {
            // The name is NUL-terminated within its array (POSIX), which lives until the next readdir.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name == "." || name == ".." { continue }
            if let id = QueueID(name) { ids.append(id) } else { foreign += 1 }
        }
        guard errno == 0 else { throw .system(operation: "read \(folder.name)", code: errno) }
        return (ids, foreign)
    }

    func contains(_ id: QueueID, in folder: SpoolFolder) -> Bool {
        faccessat(descriptor(of: folder), id.description, F_OK, AT_SYMLINK_NOFOLLOW) == 0
    }

    /// Where a message of the queue is; nil when it is nowhere.
    func locate(_ id: QueueID) -> SpoolFolder? { SpoolFolder.queue.first { contains(id, in: $0) } }

    func move(_ id: QueueID, from: SpoolFolder, to: SpoolFolder) throws(SpoolError) {
        try check(.move)
        guard renameat(descriptor(of: from), id.description, descriptor(of: to), id.description) == 0 else {
            throw .system(operation: "rename \(from.name)/\(id) to \(to.name)", code: errno)
        }
    }

    func remove(_ id: QueueID, from folder: SpoolFolder) throws(SpoolError) {
        try check(.remove)
        guard unlinkat(descriptor(of: folder), id.description, 0) == 0 else {
            throw .system(operation: "unlink \(folder.name)/\(id)", code: errno)
        }
    }

    /// What was made, renamed or removed in this directory before the call is on disk when it returns.
    func sync(_ folder: SpoolFolder) throws(SpoolError) {
        try check(.syncFolder)
        guard fsync(descriptor(of: folder)) == 0 else { throw .system(operation: "fsync \(folder.name)", code: errno) }
    }

    /// Puts a file that cannot be understood aside, over nothing that is there already.
    func setAside(_ id: QueueID, from folder: SpoolFolder) throws(SpoolError) {
        try check(.move)
        let maximumCopies = 1_000
        for copy in 0..<maximumCopies {
            let name = copy == 0 ? id.description : "\(id)_\(copy)"
            // A link fails where a file of that name is; a rename would replace it.
            if linkat(descriptor(of: folder), id.description, descriptor(of: .corrupt), name, 0) == 0 {
                return try remove(id, from: folder)
            }
            guard errno == EEXIST else { throw .system(operation: "link \(folder.name)/\(id) to corrupt", code: errno) }
        }
        throw .system(operation: "link \(folder.name)/\(id) to corrupt", code: EEXIST)
    }

    /// Bytes that this process may still use on the spool's file system.
    func freeBytes() throws(SpoolError) -> Int {
        var info = statvfs()
        guard fstatvfs(lock, &info) == 0 else { throw .system(operation: "statvfs \(path)", code: errno) }
        let (bytes, overflow) = UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize))
        return overflow ? Int.max : Int(clamping: bytes)
    }
}
