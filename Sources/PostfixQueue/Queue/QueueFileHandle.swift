// An open queue file.

import FlushCore
import Glibc

/// A descriptor of a complete message, closed with its owner. Opened without following links: names below the queue directory are
/// not ours to trust.
struct QueueFileHandle: ~Copyable {
    /// What Postfix gives a file when it is complete.
    private static let completeMode: mode_t = 0o700
    /// Asks qmgr(8) to forget that this message's destinations were found dead; it takes the bit away again.
    private static let unthrottleBit: mode_t = 0o040

    private let descriptor: CInt
    private let mode: mode_t
    private let size: Int
    /// In `deferred`, when Postfix will try next.
    let modified: Timestamp

    init(path: String) throws(QueueFileError) {
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        // Reading a queue shall not write to the disk. Only a file's owner may ask for that.
        var descriptor = open(path, flags | __O_NOATIME)
        if descriptor < 0, errno == EPERM { descriptor = open(path, flags) }
        guard descriptor >= 0 else { throw .system(operation: "open \(path)", code: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(operation: "stat \(path)", code: code)
        }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_mode & Self.completeMode == Self.completeMode else {
            close(descriptor)
            throw .incomplete
        }
        self.descriptor = descriptor
        mode = status.st_mode & 0o7777
        size = Int(status.st_size)
        modified = Timestamp(microseconds: Int64(status.st_mtim.tv_sec) * 1_000_000 + Int64(status.st_mtim.tv_nsec) / 1_000)
    }

    deinit { close(descriptor) }

    /// Runs `body` with the file's records.
    func withRecords<Result>(_ body: (inout QueueRecords) throws(QueueFileError) -> Result) throws(QueueFileError) -> Result {
        let descriptor = descriptor
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: QueueRecords.bufferSize, alignment: 16)
        defer { buffer.deallocate() }
        var records = QueueRecords(buffer: buffer, size: size) { room, offset in
            while true {
                let got = pread(descriptor, room.baseAddress, room.count, off_t(offset))
                if got >= 0 || errno != EINTR { return got }
            }
        }
        return try body(&records)
    }

    /// Makes the message due now, and has qmgr(8) forget about its dead destinations when asked to.
    func makeDue(unthrottle: Bool) throws(QueueFileError) {
        // Files whose time is to come are skipped by a scan.
        guard futimens(descriptor, nil) == 0 else { throw .system(operation: "set the time of a queue file", code: errno) }
        guard unthrottle, mode & Self.unthrottleBit == 0 else { return }
        guard fchmod(descriptor, mode | Self.unthrottleBit) == 0 else { throw .system(operation: "set the mode of a queue file", code: errno) }
    }
}
