// The kernel's news of the queue's directories, read on a queue of its own and kept by message until somebody has time for them.

import Dispatch
import FlushCore
import Glibc
import Logging
import Synchronization

/// Follows the queue's directories with inotify(7).
///
/// Reading never waits for anybody: a burst of ten thousand messages through `deferred` makes sixty thousand events, and the kernel keeps
/// sixteen thousand. What is kept here is one entry a message, however often it moved.
// @unchecked: `descriptor`, `ending`, `watches` and `buffer` are touched on `queue` only, after `init`; `kept` has a lock.
final class QueueWatch: @unchecked Sendable {
    /// Messages with news at once; more, and they are forgotten for a scan.
    static let maximumMessages = 262_144
    private static let bufferSize = 256 * 1024

    private struct Place {
        var path: String
        var folder: QueueFolder
        /// Levels of hash directories below this one.
        var depth: Int
    }

    private let directory: QueueDirectory
    private let logger: Logger
    private let limit: Int
    private let notify: @Sendable () -> Void
    private let queue = DispatchQueue(label: "etrnd.postfix.watch", qos: .userInitiated)
    /// Its thread waits for the kernel. No Dispatch source does: inotify wakes whoever waits in epoll for every single move, also while
    /// the source is not armed, and that was a tenth of a release.
    private let waiting = DispatchQueue(label: "etrnd.postfix.watch.wait")
    private let kept = Mutex(Kept())
    private var descriptor: CInt = -1
    /// One of a pair of sockets; its closing ends the waiting at the other.
    private var ending: CInt = -1
    private var watches: [CInt: Place] = [:]
    private var buffer = [UInt8](repeating: 0, count: bufferSize)

    /// - Parameters:
    ///   - limit: messages with news that are kept.
    ///   - notify: called when there is something to take, from anywhere; must return at once.
    init(_ directory: QueueDirectory, logger: Logger, limit: Int = QueueWatch.maximumMessages, notify: @escaping @Sendable () -> Void) {
        self.directory = directory
        self.logger = logger
        self.limit = limit
        self.notify = notify
    }

    /// Begins to watch. What happens from the return on is told; what was before, a scan has to find.
    func start() throws(QueueFileError) {
        let failure = queue.sync { () -> QueueFileError? in
            do throws(QueueFileError) { try open() } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    func stop() {
        queue.sync { end() }
    }

    deinit {
        end()
    }

    /// Watches also what is not watched, such as a folder that was replaced. May block.
    func refresh() throws(QueueFileError) {
        let failure = queue.sync { () -> QueueFileError? in
            do throws(QueueFileError) { try addAll() } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    /// The oldest news, of so many messages at most. Empty when there is none, or when what there is will be complete in a moment:
    /// `notify` is called then.
    func take(atMost limit: Int) -> Batch {
        let (batch, isRest) = kept.withLock { ($0.take(atMost: limit), !$0.isEmpty) }
        if batch.changes.isEmpty, isRest { notify() }
        return batch
    }

    /// Reads what the kernel has up to now, and returns the number of the last news.
    func drain() -> UInt64 {
        queue.sync {
            read()
            return kept.withLock { $0.number }
        }
    }

    /// Has these messages looked at, as if there were news of them; as many of them as leave room for real news.
    func mark(_ ids: [QueueID]) {
        guard !ids.isEmpty else { return }
        let room = kept.withLock { limit / 2 - $0.changes.count }
        for id in ids.prefix(max(0, room)) { note(id, nil) }
        notify()
    }

    // MARK: On the queue

    private func open() throws(QueueFileError) {
        let descriptor = inotify_init1(CInt(IN_NONBLOCK | IN_CLOEXEC))
        guard descriptor >= 0 else { throw .system(operation: "inotify_init1", code: errno) }
        self.descriptor = descriptor
        do throws(QueueFileError) {
            try addAll()
        } catch {
            close(descriptor)
            self.descriptor = -1
            throw error
        }
        var ends: (CInt, CInt) = (-1, -1)
        let made = withUnsafeMutableBytes(of: &ends) {
            socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, $0.bindMemory(to: CInt.self).baseAddress)
        }
        guard made == 0 else {
            let code = errno
            close(descriptor)
            self.descriptor = -1
            throw .system(operation: "socketpair", code: code)
        }
        let end = ends.0
        ending = ends.1
        waiting.async { @Sendable [weak self] in
            while Self.waits(for: descriptor, until: end) {
                // Gone, or about to go: that ends the waiting.
                guard let self else { continue }
                let got = self.queue.sync { self.read() }
                // Each move of a burst would wake a thread; the kernel keeps thousands.
                usleep(got < Self.busyBytes ? Self.gathering : Self.gatheringWhenBusy)
            }
            close(descriptor)
            close(end)
        }
    }

    /// Waits for moves; false when the other end is closed.
    private static func waits(for descriptor: CInt, until end: CInt) -> Bool {
        var wanted = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: end, events: 0, revents: 0)]
        // It fails for signals only, and for a moment's lack of memory.
        while poll(&wanted, nfds_t(wanted.count), -1) < 0 {}
        return wanted[1].revents == 0
    }

    /// The descriptor is closed by who waits at it.
    private func end() {
        guard ending >= 0 else { return }
        close(ending)
        (ending, descriptor, watches) = (-1, -1, [:])
    }

    private func addAll() throws(QueueFileError) {
        for folder in QueueFolder.allCases {
            var failure: QueueFileError?
            try directory.visitDirectories(of: folder) { path, depth in
                failure = failure ?? add(Place(path: path, folder: folder, depth: depth))
            }
            if let failure { throw failure }
        }
    }

    /// Microseconds between two reads of the kernel's events. In the longer one a release makes a thousand.
    private static let gathering: UInt32 = 3_000
    static let gatheringWhenBusy: UInt32 = 15_000
    /// A read of so many bytes, some dozen events, is busy.
    private static let busyBytes = 512

    private static let moves = UInt32(IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW)

    private func add(_ place: Place) -> QueueFileError? {
        // Files are made under another name and come by a rename; only directories are made where they belong.
        var mask = Self.moves | (place.depth > 0 ? UInt32(IN_CREATE) : 0)
        // What cleanup(8) puts on hold it moves first and completes then, with a change of the mode.
        if place.folder == .hold { mask |= UInt32(IN_ATTRIB) }
        let watch = inotify_add_watch(descriptor, place.path, mask)
        guard watch >= 0 else {
            let operation = errno == ENOSPC ? "watch \(place.path) (fs.inotify.max_user_watches)" : "watch \(place.path)"
            return .system(operation: operation, code: errno)
        }
        watches[watch] = place
        return nil
    }

    /// Returns how many bytes of events there were.
    @discardableResult
    private func read() -> Int {
        var total = 0
        while ending >= 0 {
            let got = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { break }
            takeEvents(got)
            total += got
        }
        if kept.withLock({ !$0.isEmpty }) { notify() }
        return total
    }

    private static let headerSize = 16

    private func takeEvents(_ count: Int) {
        var offset = 0
        while offset + Self.headerSize <= count {
            let (watch, mask, name, size) = buffer.withUnsafeBytes { bytes in
                let watch = bytes.loadUnaligned(fromByteOffset: offset, as: CInt.self)
                let mask = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
                let length = Int(bytes.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))
                let end = min(count, offset + Self.headerSize + length)
                let name = String(decoding: bytes[(offset + Self.headerSize)..<end].prefix { $0 != 0 }, as: UTF8.self)
                return (watch, mask, name, Self.headerSize + length)
            }
            offset += size
            takeEvent(watch, mask, name)
        }
    }

    private func takeEvent(_ watch: CInt, _ mask: UInt32, _ name: String) {
        if mask & UInt32(IN_Q_OVERFLOW) != 0 { return overflow("the kernel's queue of events was full") }
        guard let place = watches[watch] else { return }
        if mask & UInt32(IN_IGNORED) != 0 {
            watches[watch] = nil
            return
        }
        if mask & UInt32(IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT) != 0 {
            // What happens in it from now on happens elsewhere.
            watches[watch] = nil
            inotify_rm_watch(descriptor, watch)
            return overflow("\(place.path) was removed or renamed")
        }
        if mask & UInt32(IN_ISDIR) != 0 {
            if mask & UInt32(IN_CREATE | IN_MOVED_TO) != 0, name.utf8.count == 1, place.depth > 0 { follow(name, in: place) }
            return
        }
        guard mask & UInt32(IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ATTRIB) != 0, let id = QueueID(name), name.utf8.count > 1
        else { return }
        if mask & UInt32(IN_ATTRIB) != 0 { return note(id, nil) }
        note(id, mask & UInt32(IN_MOVED_TO) != 0 ? .entered(place.folder) : .left(place.folder), isHalf: mask & UInt32(IN_MOVED_FROM) != 0)
    }

    /// A new hash directory: messages may have come to it before it was watched.
    private func follow(_ name: String, in parent: Place) {
        do throws(QueueFileError) {
            var failure: QueueFileError?
            try directory.visitDirectories(at: "\(parent.path)/\(name)", depth: parent.depth - 1) { path, depth in
                failure = failure ?? add(Place(path: path, folder: parent.folder, depth: depth))
                for id in (try? directory.ids(in: path)) ?? [] {
                    note(id, .entered(parent.folder))
                    note(id, nil)
                }
            }
            if let failure { throw failure }
        } catch {
            overflow("\(error)")
        }
    }

    /// Moves were lost; what is known of others stays.
    private func overflow(_ why: String) {
        let isNews = kept.withLock { kept in
            defer { kept.hasOverflowed = true }
            return !kept.hasOverflowed
        }
        if isNews { logger.notice("the queue has to be scanned again", metadata: ["why": "\(why)"]) }
    }

    private func note(_ id: QueueID, _ step: Step?, isHalf: Bool = false) {
        let isTooMuch = kept.withLock { kept in
            if kept.changes[id] == nil {
                guard kept.changes.count < limit else {
                    kept.overflow()
                    return true
                }
                kept.append(id)
            }
            kept.changes[id, default: Change()].note(step, isHalf: isHalf)
            return false
        }
        if isTooMuch { logger.notice("the queue has to be scanned again", metadata: ["why": "more than \(limit) messages had news"]) }
    }
}
