// An open queue file.

import Glibc

/// A descriptor that is closed with its last reference. Reads and writes name their offset, so it has no state to share.
final class SpoolHandle: Sendable {
    let descriptor: CInt
    /// `UTIME_OMIT` of <bits/stat.h>, a macro that Swift does not import: leave that time as it is.
    static let omit = (1 << 30) - 2

    init(descriptor: CInt) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Reads up to `count` bytes; fewer only at the end of the file.
    func read(at offset: Int, count: Int) throws(SpoolError) -> [UInt8] {
        var failure: CInt = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = 0
            while filled < count {
                guard let start = buffer.baseAddress else { break }
                let got = pread(descriptor, start + filled, count - filled, off_t(offset + filled))
                if got < 0, errno == EINTR { continue }
                if got < 0 { failure = errno }
                if got <= 0 { break }
                filled += got
            }
        }
        guard failure == 0 else { throw .system(operation: "read a queue file", code: failure) }
        return bytes
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(SpoolError) {
        var failure: CInt = 0
        bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                guard let start = buffer.baseAddress else { break }
                let put = pwrite(descriptor, start + done, buffer.count - done, off_t(offset + done))
                if put < 0, errno == EINTR { continue }
                if put <= 0 {
                    failure = put < 0 ? errno : EIO
                    break
                }
                done += put
            }
        }
        guard failure == 0 else { throw .system(operation: "write a queue file", code: failure) }
    }

    /// Content and length are on disk when this returns.
    func sync() throws(SpoolError) {
        guard fsync(descriptor) == 0 else { throw .system(operation: "fsync a queue file", code: errno) }
    }

    /// Overwritten bytes are on disk when this returns.
    func syncData() throws(SpoolError) {
        guard fdatasync(descriptor) == 0 else { throw .system(operation: "fdatasync a queue file", code: errno) }
    }

    func status() throws(SpoolError) -> (size: Int, isRegular: Bool, modified: timespec) {
        var info = stat()
        guard fstat(descriptor, &info) == 0 else { throw .system(operation: "stat a queue file", code: errno) }
        return (Int(info.st_size), info.st_mode & S_IFMT == S_IFREG, info.st_mtim)
    }

    func setModified(_ time: timespec) throws(SpoolError) {
        let times = [timespec(tv_sec: 0, tv_nsec: Self.omit), time]
        guard futimens(descriptor, times) == 0 else { throw .system(operation: "set the time of a queue file", code: errno) }
    }
}
