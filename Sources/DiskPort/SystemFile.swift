// An open file of the real file system.

import Glibc
import SystemPackage

/// A descriptor that is closed with its last reference.
public final class SystemFile: DiskFile {
    /// `UTIME_OMIT` of <bits/stat.h>, a macro that Swift does not import: leave that time as it is.
    static let unchanged = timespec(tv_sec: 0, tv_nsec: (1 << 30) - 2)

    private let descriptor: CInt

    /// - Parameter descriptor: from now on the file's own.
    public init(descriptor: CInt) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    public func read(at offset: Int, count: Int) throws(Errno) -> [UInt8] {
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
        guard failure == 0 else { throw Errno(rawValue: failure) }
        return bytes
    }

    public func write(_ bytes: [UInt8], at offset: Int) throws(Errno) {
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
        guard failure == 0 else { throw Errno(rawValue: failure) }
    }

    public func truncate(to size: Int) throws(Errno) { try check(ftruncate(descriptor, off_t(size))) }

    public func sync() throws(Errno) { try check(fsync(descriptor)) }

    public func syncData() throws(Errno) { try check(fdatasync(descriptor)) }

    public func status() throws(Errno) -> FileStatus {
        var info = stat()
        try check(fstat(descriptor, &info))
        return FileStatus(size: Int(info.st_size), isRegular: info.st_mode & S_IFMT == S_IFREG, modified: info.st_mtim)
    }

    public func setModified(_ time: timespec) throws(Errno) { try check(futimens(descriptor, [Self.unchanged, time])) }

    private func check(_ result: CInt) throws(Errno) { if result != 0 { throw Errno(rawValue: errno) } }
}
