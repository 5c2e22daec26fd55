// One destination's log file: lines in, lines out.

import DiskPort
import FlushCore
import SystemPackage

/// A file with a queue ID a line. Every method opens, works and closes: there may be a hundred thousand logs.
struct LogFile {
    /// Distinct IDs that are read from one log, so that a strange file cannot take all the memory; the rest are skipped lines.
    static let maximumIDs = 1_000_000
    private static let chunkSize = 64 << 10
    private static let newline = UInt8(ascii: "\n")
    /// A line of ours with its end.
    private static let maximumLine = QueueID.maximumLength + 1

    let folder: any DiskFolder
    let name: String

    struct Content {
        /// Each once, in the order of their first lines.
        var ids: [QueueID] = []
        var skippedLines = 0
    }

    /// Reads the whole lines. What stands behind the last line's end was torn off by a kill: it may be half an ID, and is skipped.
    func read() throws(Errno) -> Content {
        let file = try folder.open(name, .read)
        let status = try file.status()
        guard status.isRegular else { throw .invalidArgument }

        var content = Content()
        var seen: Set<QueueID> = []
        var line: [UInt8] = []
        var offset = 0
        while true {
            // One byte more than it had: it may grow.
            let buffer = try file.read(at: offset, count: min(Self.chunkSize, max(0, status.size - offset) + 1))
            guard !buffer.isEmpty else { break }
            offset += buffer.count
            var rest = buffer[...]
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
        let file = try folder.open(name, .make)
        let end = try endOfLastLine(in: file)
        do throws(Errno) {
            try file.write(Self.lines(ids[...]), at: end)
        } catch {
            try? file.truncate(to: end)
            throw error
        }
    }

    /// Puts these IDs in the place of all others. The file of before or the new one is there at any moment; neither is synced.
    func rewrite(_ ids: [QueueID], through temporaryName: String) throws(Errno) {
        do throws(Errno) {
            let temporary = try folder.open(temporaryName, .replace)
            var start = 0
            var offset = 0
            while start < ids.count {
                let end = min(ids.count, start + Self.chunkSize / 16)
                let lines = Self.lines(ids[start..<end])
                try temporary.write(lines, at: offset)
                start = end
                offset += lines.count
            }
            try folder.move(temporaryName, to: folder, as: name)
        } catch {
            try? folder.remove(temporaryName)
            throw error
        }
    }

    /// Removes the file; one that is not there is no error.
    func remove() throws(Errno) {
        do throws(Errno) { try folder.remove(name) } catch .noSuchFileOrDirectory {}
    }

    /// Where the next line begins: cuts off a line that a kill has torn.
    private func endOfLastLine(in file: any DiskFile) throws(Errno) -> Int {
        let size = try file.status().size
        guard size > 0 else { return 0 }
        let start = max(0, size - Self.maximumLine)
        let tail = try file.read(at: start, count: size - start)
        guard start + tail.count == size, tail.last != Self.newline else { return size }
        let end: Int
        if let newline = tail.lastIndex(of: Self.newline) {
            end = start + newline + 1
        } else if start == 0 {
            end = 0
        } else {
            // Longer than any line of ours: not for us to cut.
            try file.write([Self.newline], at: size)
            return size + 1
        }
        try file.truncate(to: end)
        return end
    }

    private static func lines(_ ids: ArraySlice<QueueID>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count * 16)
        for id in ids {
            bytes += id.description.utf8
            bytes.append(newline)
        }
        return bytes
    }
}
