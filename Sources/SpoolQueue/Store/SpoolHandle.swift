// An open queue file.

import DiskPort
import Glibc

/// A file of the spool, whose errors are the spool's.
struct SpoolHandle: Sendable {
    private let file: any DiskFile

    init(_ file: any DiskFile) { self.file = file }

    /// Reads up to `count` bytes; fewer only at the end of the file.
    func read(at offset: Int, count: Int) throws(SpoolError) -> [UInt8] {
        do { return try file.read(at: offset, count: count) } catch { throw SpoolError("read a queue file", error) }
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(SpoolError) {
        do { try file.write(bytes, at: offset) } catch { throw SpoolError("write a queue file", error) }
    }

    func truncate(to size: Int) throws(SpoolError) {
        do { try file.truncate(to: size) } catch { throw SpoolError("truncate a queue file", error) }
    }

    /// Content and length are on disk when this returns.
    func sync() throws(SpoolError) {
        do { try file.sync() } catch { throw SpoolError("fsync a queue file", error) }
    }

    /// Overwritten bytes are on disk when this returns.
    func syncData() throws(SpoolError) {
        do { try file.syncData() } catch { throw SpoolError("fdatasync a queue file", error) }
    }

    func status() throws(SpoolError) -> FileStatus {
        do { return try file.status() } catch { throw SpoolError("stat a queue file", error) }
    }

    func setModified(_ time: timespec) throws(SpoolError) {
        do { try file.setModified(time) } catch { throw SpoolError("set the time of a queue file", error) }
    }
}
