// The lines that are appended to a log file, across rotation. May block.

import Glibc

/// Reads what has come since the last time.
///
/// A log is rotated in one of two ways. Renamed and made anew: whoever writes it goes on with the old file until told, so that both are
/// read until something stands in the new one. Copied and emptied: the file is shorter than what was read of it, and begins again.
struct LogReader: ~Copyable {
    /// Bytes read at once; of a log that grows faster than we look the middle is left out.
    static let maximumRead = 8 << 20
    /// Postfix's own are below 2,048 bytes and a header. What is longer is no line of interest, and is skipped.
    static let maximumLine = 8_192
    private static let chunkSize = 256 * 1024

    /// An open file, closed with its owner.
    private final class File {
        let descriptor: CInt
        let device: dev_t
        let inode: ino_t
        var offset = 0
        /// The beginning of a line whose end has not come.
        var rest: [UInt8] = []
        /// What comes up to the next line's end belongs to a line whose beginning was not kept.
        var isSkipping = false

        init?(path: String) {
            let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
            var status = stat()
            guard descriptor >= 0 else { return nil }
            guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                close(descriptor)
                return nil
            }
            self.descriptor = descriptor
            device = status.st_dev
            inode = status.st_ino
        }

        deinit { close(descriptor) }

        var size: Int {
            var status = stat()
            return fstat(descriptor, &status) == 0 ? Int(clamping: status.st_size) : 0
        }

        /// Goes to `position`, and on to the beginning of the next line if that is in the middle of one.
        func skip(to position: Int) {
            // The byte before tells whether it is.
            (offset, rest, isSkipping) = (max(0, position - 1), [], position > 0)
        }

        func read(_ take: (String) -> Void) {
            let size = size
            if size < offset { skip(to: 0) }
            if size - offset > LogReader.maximumRead { skip(to: size - LogReader.maximumRead) }
            var chunk = [UInt8](repeating: 0, count: min(LogReader.chunkSize, max(0, size - offset)))
            // What is written while this is read is read the next time: a writer that never stops must not keep us.
            while offset < size {
                let got = pread(descriptor, &chunk, min(chunk.count, size - offset), off_t(offset))
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { return }
                offset += got
                takeLines(chunk[..<got], take)
            }
        }

        private func takeLines(_ bytes: ArraySlice<UInt8>, _ take: (String) -> Void) {
            var bytes = bytes
            while let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
                if !isSkipping, rest.count + (end - bytes.startIndex) <= LogReader.maximumLine {
                    if !rest.isEmpty { rest += bytes[..<end] }
                    take(String(decoding: rest.isEmpty ? bytes[..<end] : rest[...], as: UTF8.self))
                }
                rest.removeAll(keepingCapacity: true)
                isSkipping = false
                bytes = bytes[(end + 1)...]
            }
            guard !isSkipping else { return }
            rest += bytes
            if rest.count > LogReader.maximumLine { (rest, isSkipping) = ([], true) }
        }
    }

    private let path: String
    private var current: File?
    /// Was renamed away; its writer may not know yet.
    private var previous: File?

    /// Begins at the end of the file; a file that is not there yet is read from its beginning.
    init(path: String) {
        self.path = path
        current = File(path: path)
        if let size = current?.size { current?.skip(to: size) }
    }

    /// Calls `take` with every line that is new, without its end. False when there is no file.
    mutating func read(_ take: (String) -> Void) -> Bool {
        if isReplaced {
            previous?.read(take)
            previous = current
            current = File(path: path)
        }
        // Before: once something stands in the new file, nothing more comes into the old one.
        let isWritten = (current?.size ?? 0) > 0
        previous?.read(take)
        if isWritten { previous = nil }
        current?.read(take)
        return current != nil || previous != nil
    }

    /// Whether another file is at the path now.
    private var isReplaced: Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { return false }
        return current.map { status.st_ino != $0.inode || status.st_dev != $0.device } ?? true
    }
}
