// The file system as the spool and the log files use it: the real one, or a simulated one that crashes.

import Glibc
import SystemPackage

/// Opens directories. Everything behind this port blocks, a system call a method; it runs on a `DiskWorker`.
public protocol Disk: Sendable {
    /// Opens a directory, made for us alone when it is not there (not its parents).
    func openFolder(_ path: String) throws(Errno) -> any DiskFolder
}

/// An open directory; names are single ones, relative to it.
///
/// A change of names is one change to a crash of the machine, too: a moved file is found under its old name or its new one.
public protocol DiskFolder: Sendable {
    /// Opens a directory in this one, made for us alone when it is not there. `..` opens the one above.
    func openFolder(_ name: String) throws(Errno) -> any DiskFolder
    /// Opens a file without following a symbolic link. What is no regular file may be opened, and never makes us wait.
    func open(_ name: String, _ access: DiskAccess) throws(Errno) -> any DiskFile
    /// All names but `.` and `..`, in no order. For one reader at a time.
    func names() throws(Errno) -> any FolderNames
    /// Whether something has this name.
    func contains(_ name: String) -> Bool
    /// Moves a file over what has the new name, if anything has.
    ///
    /// - Parameter folder: of the same disk.
    func move(_ name: String, to folder: any DiskFolder, as newName: String) throws(Errno)
    /// Gives a file another name; `fileExists` when something has that.
    func link(_ name: String, in folder: any DiskFolder, as newName: String) throws(Errno)
    func remove(_ name: String) throws(Errno)
    func setModified(_ time: timespec, of name: String) throws(Errno)
    /// What was made, moved or removed in this directory before the call is on disk when it returns.
    func sync() throws(Errno)
    /// Bytes that this process may still use on the directory's file system.
    func freeBytes() throws(Errno) -> Int
    /// Locks a file of this name, made when it is not there, against other processes; `wouldBlock` when somebody has it.
    func lock(_ name: String) throws(Errno) -> any DiskLock
}

/// What a file is opened for.
public enum DiskAccess: Sendable, CaseIterable {
    case read
    case readAndWrite
    /// Read and write, made when it is not there.
    case make
    /// Read and write, made now: an error when something has the name.
    case makeNew
    /// Write, made or emptied.
    case replace
}

/// An open file, closed with its last reference. Reads and writes name their offset, so it has no state to share.
public protocol DiskFile: AnyObject, Sendable {
    /// Reads up to `count` bytes; fewer only at the end of the file.
    func read(at offset: Int, count: Int) throws(Errno) -> [UInt8]
    /// Writes all; when it throws, some of the bytes may have been written.
    func write(_ bytes: [UInt8], at offset: Int) throws(Errno)
    func truncate(to size: Int) throws(Errno)
    /// Content, length and times are on disk when this returns; the file's name need not be.
    func sync() throws(Errno)
    /// Content and length are on disk when this returns.
    func syncData() throws(Errno)
    func status() throws(Errno) -> FileStatus
    func setModified(_ time: timespec) throws(Errno)
}

public struct FileStatus: Sendable {
    public var size: Int
    public var isRegular: Bool
    public var modified: timespec

    public init(size: Int, isRegular: Bool, modified: timespec) {
        self.size = size
        self.isRegular = isRegular
        self.modified = modified
    }
}

/// The names in a directory, one after the other, so that nobody holds all of them who does not want to.
public protocol FolderNames: AnyObject, Sendable {
    /// The next name; nil at the end.
    func next() throws(Errno) -> String?
}

/// A lock, held until it is released or its last reference is gone.
public protocol DiskLock: AnyObject, Sendable {
    func release()
}
