// A file or a directory of the simulated disk: as the system shows it, and as a power cut would find it.

import Glibc

/// A file's or a directory's two states.
// @unchecked: the simulation has one thread.
final class Inode: @unchecked Sendable {
    /// A change of a file that no sync has made durable.
    enum Change {
        case write(offset: Int, bytes: [UInt8])
        case truncate(size: Int)
        case modified(timespec)
    }

    struct PendingChange {
        var change: Change
        /// A sync of it failed: the page counts as clean now, and no later sync writes it.
        var isForsaken = false
    }

    let number: Int
    let isFolder: Bool
    /// The directory above; nil for the root and for files.
    let parent: Inode?

    var content: [UInt8] = []
    var modified: timespec
    private var durableContent: [UInt8] = []
    private var durableModified: timespec
    private(set) var pending: [PendingChange] = []

    var entries: [String: Inode] = [:]
    var durableEntries: [String: Inode] = [:]

    init(number: Int, isFolder: Bool, parent: Inode?, now: timespec) {
        self.number = number
        self.isFolder = isFolder
        self.parent = parent
        modified = now
        durableModified = now
    }

    func change(_ change: Change, now: timespec) {
        Self.apply(change, &content, &modified)
        if case .modified = change {} else { modified = now }
        pending.append(PendingChange(change: change))
    }

    func sync() {
        for change in pending where !change.isForsaken { Self.apply(change.change, &durableContent, &durableModified) }
        if !pending.contains(where: \.isForsaken) {
            durableContent = content
            durableModified = modified
        }
        pending.removeAll { !$0.isForsaken }
    }

    func failSync() { for place in pending.indices { pending[place].isForsaken = true } }

    /// What a power cut does to one change.
    enum Fate {
        case kept
        case lost
        /// So many of its bytes were written.
        case torn(Int)
        /// The file has grown and the bytes are zeros: its length was written, its content was not.
        case zeroed
    }

    /// After a power cut the disk is all there is.
    func losePower(_ fate: (Change) -> Fate) {
        for pending in pending {
            switch (fate(pending.change), pending.change) {
            case (.lost, _): break
            case (.torn(let count), .write(let offset, let bytes)):
                Self.apply(.write(offset: offset, bytes: Array(bytes.prefix(count))), &durableContent, &durableModified)
            case (.zeroed, .write(let offset, let bytes)):
                let kept = durableContent.dropFirst(offset).prefix(bytes.count)
                let zeros = Array(kept) + [UInt8](repeating: 0, count: bytes.count - kept.count)
                Self.apply(.write(offset: offset, bytes: zeros), &durableContent, &durableModified)
            case (_, let change): Self.apply(change, &durableContent, &durableModified)
            }
        }
        pending = []
        content = durableContent
        modified = durableModified
        entries = durableEntries
    }

    private static func apply(_ change: Change, _ content: inout [UInt8], _ modified: inout timespec) {
        switch change {
        case .write(let offset, let bytes):
            let end = offset + bytes.count
            if content.count < end { content += [UInt8](repeating: 0, count: end - content.count) }
            content.replaceSubrange(offset..<end, with: bytes)
        case .truncate(let size):
            content.removeLast(max(0, content.count - size))
            content += [UInt8](repeating: 0, count: max(0, size - content.count))
        case .modified(let time): modified = time
        }
    }
}
