// One destination's log file: lines in, lines out.

import FlushCore
import Glibc
import SystemPackage

/// A file with a queue ID a line. Every method opens, works and closes: there may be a hundred thousand logs.
struct LogFile {
    /// Distinct IDs that are read from one log, so that a strange file cannot take all the memory; the rest are skipped lines.
    static let maximumIDs = 1_000_000
    private static let chunkSize = 64 << 10
    private static let newline = UInt8(ascii: "\n")
    /// A line of ours with its end.
    private static let maximumLine = QueueID.maximumLength + 1

    let path: String

    struct Content {
        /// Each once, in the order of their first lines.
        var ids: [QueueID] = []
        var skippedLines = 0
    }

    /// Reads the whole lines. What stands behind the last line's end was torn off by a kill: it may be half an ID, and is skipped.
    func read() throws(Errno) -> Content {
        // Non-blocking: a FIFO in this place must not hold up the start.
        let descriptor = try open(.readOnly, options: [.noFollow, .nonBlocking, .closeOnExec])
        defer { try? descriptor.close() }
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { throw Errno(rawValue: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .invalidArgument }

        var content = Content()
        var seen: Set<QueueID> = []
        var line: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: Self.chunkSize)
        while true {
            let count = try system { try buffer.withUnsafeMutableBytes { try descriptor.read(into: $0) } }
            guard count > 0 else { break }
            var rest = buffer[..<count]
            while let end = rest.firstIndex(of: Self.newline) {
                line += rest[..<end].prefix(Self.maximumLine)
                if let id = QueueID(String(decoding: line, as: UTF8.self)), content.ids.count < Self.maximumIDs || seen.contains(id) {
                    if seen.insert(id).inserted { content.ids.append(id) }
                } else {
                    content.skippedLines += 1
                }
                line.removeAll(keepingCapacity: true)
                rest = rest[(end + 1)...]
            }
            // A byte more than an ID has makes the line invalid; no more of it is kept.
            line += rest.prefix(max(0, Self.maximumLine - line.count))
        }
        if !line.isEmpty { content.skippedLines += 1 }
        return content
    }

    /// Adds IDs at the end, making the file when it is not there.
    ///
    /// When the disk is full nothing is left of them.
    func append(_ ids: [QueueID]) throws(Errno) {
        guard !ids.isEmpty else { return }
        let descriptor = try open(.readWrite, options: [.append, .create, .noFollow, .nonBlocking, .closeOnExec])
        defer { try? descriptor.close() }
        let end = try system { try endOfLastLine(in: descriptor) }
        do {
            try system { _ = try descriptor.writeAll(Self.lines(ids)) }
        } catch {
            try? descriptor.resize(to: end)
            throw error
        }
    }

    /// Puts these IDs in the place of all others. The file of before or the new one is there at any moment; neither is synced.
    func rewrite(_ ids: [QueueID], through temporaryPath: String) throws(Errno) {
        let temporary = try LogFile(path: temporaryPath).open(.writeOnly, options: [.create, .truncate, .noFollow, .closeOnExec])
        do throws(Errno) {
            defer { try? temporary.close() }
            var start = 0
            repeat {
                let end = min(ids.count, start + Self.chunkSize / 16)
                try system { [start] in _ = try temporary.writeAll(Self.lines(ids[start..<end])) }
                start = end
            } while start < ids.count
            guard rename(temporaryPath, path) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            unlink(temporaryPath)
            throw error
        }
    }

    /// Removes the file; one that is not there is no error.
    func remove() throws(Errno) {
        guard unlink(path) == 0 || errno == ENOENT else { throw Errno(rawValue: errno) }
    }

    /// Where the next line begins: cuts off a line that a kill has torn.
    private func endOfLastLine(in descriptor: FileDescriptor) throws -> Int64 {
        let size = try descriptor.seek(offset: 0, from: .end)
        guard size > 0 else { return 0 }
        var tail = [UInt8](repeating: 0, count: Int(min(size, Int64(Self.maximumLine))))
        let start = size - Int64(tail.count)
        let count = try tail.withUnsafeMutableBytes { try descriptor.read(fromAbsoluteOffset: start, into: $0) }
        guard count == tail.count, tail.last != Self.newline else { return size }
        let end: Int64
        if let newline = tail.lastIndex(of: Self.newline) {
            end = start + Int64(newline) + 1
        } else if start == 0 {
            end = 0
        } else {
            // Longer than any line of ours: not for us to cut.
            try descriptor.writeAll([Self.newline])
            return size + 1
        }
        try descriptor.resize(to: end)
        return end
    }

    private func open(_ mode: FileDescriptor.AccessMode, options: FileDescriptor.OpenOptions) throws(Errno) -> FileDescriptor {
        try system {
            try FileDescriptor.open(FilePath(path), mode, options: options, permissions: FilePermissions(rawValue: StateDirectory.fileMode))
        }
    }

    private static func lines(_ ids: some Collection<QueueID>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count * 16)
        for id in ids {
            bytes += id.description.utf8
            bytes.append(newline)
        }
        return bytes
    }
}

/// System calls of SystemPackage throw nothing but `Errno`; this says so in the type.
private func system<T>(_ body: () throws -> T) throws(Errno) -> T {
    do { return try body() } catch { throw (error as? Errno) ?? .ioError }
}
