// Queue files as wholes: made, read, marked, and the notes beside them.

import DiskPort
import FlushCore
import Glibc
import SystemPackage

/// What a queue file says besides its content.
struct SpoolRecord: Sendable {
    var envelope: SpoolEnvelope
    /// The file's modification time.
    var nextAttempt: Timestamp
}

/// A queue file that is open for delivery.
struct OpenMessage: Sendable {
    var handle: SpoolHandle
    var envelope: SpoolEnvelope
    var layout: SpoolFile.Layout
}

extension SpoolDirectory {
    // MARK: Making

    /// Makes an empty file in `tmp`. A file of that name is an error: IDs are given once.
    func create(_ id: QueueID) throws(SpoolError) -> SpoolHandle {
        try check(.create)
        do { return SpoolHandle(try self[.temporary].open(id.description, .makeNew)) } catch { throw SpoolError("create tmp/\(id)", error) }
    }

    func write(_ bytes: [UInt8], to handle: SpoolHandle, at offset: Int) throws(SpoolError) {
        try check(.write)
        try handle.write(bytes, at: offset)
    }

    /// Syncs a file that is complete and moves it to where it belongs. The caller syncs that directory.
    func publish(_ handle: SpoolHandle, id: QueueID, to folder: SpoolFolder, nextAttempt: Timestamp) throws(SpoolError) {
        try handle.setModified(timespec(nextAttempt))
        try check(.sync)
        try handle.sync()
        try move(id, from: .temporary, to: folder)
    }

    /// Writes a whole message of moderate size, up to its being in `folder`; nothing is left behind when that fails.
    func store(_ envelope: SpoolEnvelope, content: [UInt8], in folder: SpoolFolder, nextAttempt: Timestamp) throws(SpoolError) {
        let handle = try create(envelope.id)
        do throws(SpoolError) {
            try write(SpoolFile.head(of: envelope) + content, to: handle, at: 0)
            try publish(handle, id: envelope.id, to: folder, nextAttempt: nextAttempt)
        } catch {
            discard(envelope.id)
            throw error
        }
    }

    /// Forgets a message that is being received.
    func discard(_ id: QueueID) { try? self[.temporary].remove(id.description) }

    /// Empties `tmp`: what is there was never acknowledged.
    func emptyTemporary() throws(SpoolError) -> Int {
        let (ids, _) = try list(.temporary)
        for id in ids { discard(id) }
        return ids.count
    }

    // MARK: Reading

    func load(_ id: QueueID, in folder: SpoolFolder) throws(SpoolError) -> SpoolRecord {
        let message = try open(id, in: folder, writable: false)
        return SpoolRecord(envelope: message.envelope, nextAttempt: Timestamp(try message.handle.status().modified))
    }

    func open(_ id: QueueID, in folder: SpoolFolder, writable: Bool) throws(SpoolError) -> OpenMessage {
        try check(.open)
        guard id.description.utf8.count <= QueueID.maximumLength - SpoolID.reportDigits else {
            // None of ours is so long; somebody may have put one there.
            throw contains(id, in: folder) ? .damaged("its ID is too long") : .system(operation: "open \(folder.name)/\(id)", code: ENOENT)
        }
        let handle: SpoolHandle
        do { handle = SpoolHandle(try self[folder].open(id.description, writable ? .readAndWrite : .read)) } catch {
            throw error == .tooManySymbolicLinkLevels || error == .isDirectory
                ? .damaged("it is no regular file") : SpoolError("open \(folder.name)/\(id)", error)
        }
        let info = try handle.status()
        guard info.isRegular else { throw .damaged("it is no regular file") }
        var bytes = try handle.read(at: 0, count: min(info.size, SpoolFile.firstRead))
        let layout = try SpoolFile.layout(bytes, fileSize: info.size)
        if layout.content > bytes.count { bytes += try handle.read(at: bytes.count, count: layout.content - bytes.count) }
        guard bytes.count >= layout.content else { throw .damaged("it ends within its envelope") }
        let envelope = try SpoolFile.envelope(bytes, layout: layout, id: id, fileSize: info.size)
        return OpenMessage(handle: handle, envelope: envelope, layout: layout)
    }

    /// Moves a message into `active`, unless it is there, and opens it.
    func openForDelivery(_ id: QueueID, from folder: SpoolFolder) throws(SpoolError) -> OpenMessage {
        if folder != .active {
            do throws(SpoolError) { try move(id, from: folder, to: .active) } catch {
                // Another part of the same attempt may have moved it already.
                guard error.isMissing else { throw error }
            }
        }
        return try open(id, in: .active, writable: true)
    }

    // MARK: Marking

    /// Overwrites status bytes in place; they are on disk when this returns.
    func mark(_ changes: [Int: SpoolEnvelope.Status], in message: OpenMessage) throws(SpoolError) {
        guard !changes.isEmpty else { return }
        try check(.writeStatus)
        for (index, status) in changes {
            try message.handle.write([status.rawValue], at: message.layout.status + index)
        }
        try check(.syncStatus)
        try message.handle.syncData()
    }

    /// Sets when a message is tried next. Not synced: after a crash it is tried earlier at worst.
    func setNextAttempt(_ time: Timestamp, of id: QueueID, in folder: SpoolFolder) throws(SpoolError) {
        try check(.setTime)
        do { try self[folder].setModified(timespec(time), of: id.description) } catch {
            throw SpoolError("set the time of \(folder.name)/\(id)", error)
        }
    }

    // MARK: Notes

    func notes(about id: QueueID) -> [UInt8] {
        (try? self[.notes].open(id.description, .read).read(at: 0, count: 2 * AttemptNotes.maximumBytes)) ?? []
    }

    /// Adds notes about a message. They are no authority: what cannot be written is not kept.
    func addNotes(_ notes: [AttemptNotes.Note], about id: QueueID) throws(SpoolError) {
        guard !notes.isEmpty else { return }
        try check(.writeNotes)
        let handle: SpoolHandle
        do { handle = SpoolHandle(try self[.notes].open(id.description, .make)) } catch { throw SpoolError("open defer/\(id)", error) }
        let size = try handle.status().size
        let new = AttemptNotes.render(notes)
        guard size + new.count > AttemptNotes.maximumBytes else { return try handle.write(new, at: size) }
        let old = try handle.read(at: max(0, size - AttemptNotes.maximumBytes), count: min(size, AttemptNotes.maximumBytes))
        let joined = AttemptNotes.joined(old, new)
        try handle.write(joined, at: 0)
        try handle.truncate(to: joined.count)
    }

    func removeNotes(about id: QueueID) { try? self[.notes].remove(id.description) }
}

extension timespec {
    init(_ time: Timestamp) {
        self.init(tv_sec: Int(time.seconds), tv_nsec: Int(time.microseconds - time.seconds * 1_000_000) * 1_000)
    }
}

extension Timestamp {
    /// The end of the year 9999. A time in a file that is later is nobody's, and sums with it would overflow.
    static let latest = Timestamp(seconds: 253_402_300_799)

    /// Within 1970 and `latest`: some file systems keep any 64 bits.
    init(_ time: timespec) {
        let seconds = min(max(Int64(time.tv_sec), 0), Self.latest.seconds)
        self = min(Timestamp(microseconds: seconds * 1_000_000 + Int64(time.tv_nsec) / 1_000), .latest)
    }
}
