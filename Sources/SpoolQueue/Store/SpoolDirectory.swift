// The spool on disk: directories that are states, one file per message. Everything here blocks; it runs on the I/O pool.

import DiskPort
import FlushCore
import SystemPackage

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
    private let root: any DiskFolder
    private let lock: any DiskLock
    private let folders: [any DiskFolder]
    /// Asked before each operation; a code makes it fail. For tests that need a failing disk.
    private let fault: (@Sendable (DiskOperation) -> CInt?)?

    /// Opens the spool, makes what is missing, and locks it against other processes.
    ///
    /// - Throws: `.inUse` when another process has it.
    init(path: String, on disk: any Disk = SystemDisk(), fault: (@Sendable (DiskOperation) -> CInt?)? = nil) throws(SpoolError) {
        self.path = path
        self.fault = fault
        do { root = try disk.openFolder(path) } catch { throw SpoolError("open \(path)", error) }
        do { lock = try root.lock("lock") } catch {
            throw error == .wouldBlock ? .inUse(path) : SpoolError("lock \(path)", error)
        }
        var opened: [any DiskFolder] = []
        for folder in SpoolFolder.allCases {
            do { opened.append(try root.openFolder(folder.name)) } catch { throw SpoolError("open \(path)/\(folder.name)", error) }
        }
        folders = opened
        // The directories themselves must outlive a crash of the machine: their names, and the spool's own.
        do {
            try root.sync()
            try root.openFolder("..").sync()
        } catch { throw SpoolError("fsync \(path)", error) }
    }

    /// Lets another process, or another engine in this one, have the spool.
    func unlock() { lock.release() }

    subscript(folder: SpoolFolder) -> any DiskFolder { folders[folder.rawValue] }

    /// Fails as the fault plan wants it.
    func check(_ operation: DiskOperation) throws(SpoolError) {
        if let code = fault?(operation) { throw .system(operation: operation.rawValue, code: code) }
    }

    // MARK: Names

    /// The queue IDs in a directory, and how many names there are none.
    func list(_ folder: SpoolFolder) throws(SpoolError) -> (ids: [QueueID], foreign: Int) {
        var ids: [QueueID] = []
        var foreign = 0
        do {
            let names = try self[folder].names()
            while let name = try names.next() {
                if let id = QueueID(name) { ids.append(id) } else { foreign += 1 }
            }
        } catch { throw SpoolError("read \(folder.name)", error) }
        return (ids, foreign)
    }

    func contains(_ id: QueueID, in folder: SpoolFolder) -> Bool { self[folder].contains(id.description) }

    /// Where a message of the queue is; nil when it is nowhere.
    func locate(_ id: QueueID) -> SpoolFolder? { SpoolFolder.queue.first { contains(id, in: $0) } }

    func move(_ id: QueueID, from: SpoolFolder, to: SpoolFolder) throws(SpoolError) {
        try check(.move)
        do { try self[from].move(id.description, to: self[to], as: id.description) } catch {
            throw SpoolError("rename \(from.name)/\(id) to \(to.name)", error)
        }
    }

    func remove(_ id: QueueID, from folder: SpoolFolder) throws(SpoolError) {
        try check(.remove)
        do { try self[folder].remove(id.description) } catch { throw SpoolError("unlink \(folder.name)/\(id)", error) }
    }

    /// What was made, renamed or removed in this directory before the call is on disk when it returns.
    func sync(_ folder: SpoolFolder) throws(SpoolError) {
        try check(.syncFolder)
        do { try self[folder].sync() } catch { throw SpoolError("fsync \(folder.name)", error) }
    }

    /// Puts a file that cannot be understood aside, over nothing that is there already.
    func setAside(_ id: QueueID, from folder: SpoolFolder) throws(SpoolError) {
        try check(.move)
        let maximumCopies = 1_000
        for copy in 0..<maximumCopies {
            let name = copy == 0 ? id.description : "\(id)_\(copy)"
            do {
                // A link fails where a file of that name is; a rename would replace it.
                try self[folder].link(id.description, in: self[.corrupt], as: name)
            } catch .fileExists { continue } catch { throw SpoolError("link \(folder.name)/\(id) to corrupt", error) }
            return try remove(id, from: folder)
        }
        throw SpoolError("link \(folder.name)/\(id) to corrupt", .fileExists)
    }

    /// Bytes that this process may still use on the spool's file system.
    func freeBytes() throws(SpoolError) -> Int {
        do { return try root.freeBytes() } catch { throw SpoolError("statvfs \(path)", error) }
    }
}
