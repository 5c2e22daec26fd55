// The queue's files: listing, finding and reading them. Everything here may block.

import FlushCore
import Glibc

/// A Postfix queue on disk.
struct QueueDirectory: Sendable {
    let layout: QueueLayout
    let names = DomainNameCache()

    /// What a look at the disk has found.
    enum Look: Sendable {
        case found(QueueFolder, PendingDomains, reasons: DeferLog)
        /// In none of the folders.
        case gone
        /// It is there, but is being written or makes no sense.
        case unreadable(String)
    }

    // MARK: Listing

    /// The directories that hold a folder's files: the folder itself and its hash directories.
    func leaves(of folder: QueueFolder) throws(QueueFileError) -> [String] {
        var leaves: [String] = []
        // The root too: files lie there when hashing was switched on a moment ago.
        try visitDirectories(of: folder) { path, _ in leaves.append(path) }
        return leaves
    }

    /// Calls `visit` with the folder's directory and every hash directory below it, and how many levels may follow.
    func visitDirectories(of folder: QueueFolder, _ visit: (String, Int) -> Void) throws(QueueFileError) {
        try visitDirectories(at: layout.root(of: folder.name), depth: layout.depth(of: folder.name), visit)
    }

    func visitDirectories(at path: String, depth: Int, _ visit: (String, Int) -> Void) throws(QueueFileError) {
        visit(path, depth)
        guard depth > 0 else { return }
        for name in try Self.list(path, where: { $0.utf8.count == 1 && $0 != "." }) {
            try visitDirectories(at: "\(path)/\(name)", depth: depth - 1, visit)
        }
    }

    /// The queue IDs in one directory. A name of one character is a hash directory.
    func ids(in path: String) throws(QueueFileError) -> [QueueID] {
        try Self.list(path) { $0.utf8.count > 1 }.compactMap { QueueID($0) }
    }

    /// The names in a directory; none when it is not there (any more).
    private static func list(_ path: String, where isWanted: (String) -> Bool) throws(QueueFileError) -> [String] {
        guard let stream = opendir(path) else {
            // A hash directory is made when it is needed; a name of one character may be no directory at all.
            guard errno == ENOENT || errno == ENOTDIR else { throw .system(operation: "open \(path)", code: errno) }
            return []
        }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            // The name is NUL-terminated within its array (POSIX), which lives until the next readdir.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if isWanted(name) { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw .system(operation: "read \(path)", code: errno) }
        return names
    }

    // MARK: Finding and reading

    /// How often a message that moves while it is looked for is looked for again.
    static let looks = 3

    /// Reads a message where it is now, with the reasons why it waits when they are wanted.
    func look(for id: QueueID, withReasons: Bool) -> Look {
        for _ in 0..<Self.looks {
            for folder in QueueFolder.allCases {
                do throws(QueueFileError) {
                    let pending = try pending(of: id, in: folder)
                    return .found(folder, pending, reasons: withReasons && folder != .incoming ? reasons(of: id, limit: Self.shortLog) : DeferLog([]))
                } catch {
                    if error.isMissing { continue }
                    return .unreadable("\(error)")
                }
            }
        }
        return .gone
    }

    /// Enough for the reasons of a message to some hundred recipients; an event needs one a domain.
    private static let shortLog = 64 * 1024

    func pending(of id: QueueID, in folder: QueueFolder) throws(QueueFileError) -> PendingDomains {
        try pending(at: layout.path(of: id, in: folder))
    }

    func pending(at path: String) throws(QueueFileError) -> PendingDomains {
        let file = try QueueFileHandle(path: path)
        return try file.withRecords { records throws(QueueFileError) in try PendingDomains(&records, names: names) }
    }

    /// The folder in which the message is; nil when it is in none.
    func locate(_ id: QueueID) -> QueueFolder? {
        for _ in 0..<Self.looks {
            for folder in QueueFolder.allCases where Self.exists(layout.path(of: id, in: folder)) { return folder }
        }
        return nil
    }

    private static func exists(_ path: String) -> Bool { faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 }

    func reasons(of id: QueueID, in logs: String = QueueLayout.deferLogs, limit: Int) -> DeferLog {
        let path = layout.path(of: id, in: logs)
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        // There is none while the message is being delivered.
        guard descriptor >= 0 else { return DeferLog([]) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return DeferLog([]) }
        let size = min(Int(clamping: status.st_size), limit)
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            filled = 0
            while filled < size {
                guard let start = buffer.baseAddress else { break }
                let got = pread(descriptor, start + filled, size - filled, off_t(filled))
                if got < 0, errno == EINTR { continue }
                if got <= 0 { break }
                filled += got
            }
        }
        let written = Timestamp(microseconds: Int64(status.st_mtim.tv_sec) * 1_000_000 + Int64(status.st_mtim.tv_nsec) / 1_000)
        return DeferLog(bytes, written: written)
    }
}
