// Giving messages back to the queue manager, as flush(8) does: time stamp, mode bit, rename.

import FlushCore
import Glibc

extension QueueDirectory {
    /// What was done with a message that was to be released, and what was read of it.
    struct Released: Sendable {
        var result: ReleaseResult
        var pending: PendingDomains?
    }

    /// Moves a deferred message to `incoming`, due at once. The queue manager learns of it from a trigger, which is the caller's work.
    ///
    /// A crash in between leaves the message in `deferred`, due now, or in `incoming`: both are tried by Postfix itself in time.
    func release(_ id: QueueID, for selector: FlushSelector, unthrottle: Bool) -> Released {
        for _ in 0..<2 {
            do throws(QueueFileError) {
                return try releaseDeferred(id, for: selector, unthrottle: unthrottle)
            } catch {
                guard error.isMissing else { return Released(result: .failed(reason: "\(error)")) }
            }
            switch locate(id) {
            case .incoming: return Released(result: stays(id, in: .incoming, for: selector) ? .inDelivery : .vanished)
            case .active: return Released(result: stays(id, in: .active, for: selector) ? .inDelivery : .vanished)
            case .hold: return Released(result: stays(id, in: .hold, for: selector) ? .held : .vanished)
            case nil: return Released(result: .vanished)
            // It has come back in between.
            case .deferred: continue
            }
        }
        return Released(result: .inDelivery)
    }

    /// Whether a message that is not released here is one that the selector means; what cannot be read may be.
    private func stays(_ id: QueueID, in folder: QueueFolder, for selector: FlushSelector) -> Bool {
        switch selector {
        case .everything: return true
        case .message(let wanted): return wanted == id
        case .domain:
            guard let pending = try? pending(of: id, in: folder) else { return true }
            return pending.domains.contains(where: selector.means)
        }
    }

    private func releaseDeferred(
        _ id: QueueID, for selector: FlushSelector, unthrottle: Bool
    ) throws(QueueFileError) -> Released {
        let path = layout.path(of: id, in: .deferred)
        if case .message(let wanted) = selector, wanted != id { return Released(result: .vanished) }
        let file = try QueueFileHandle(path: path)
        let pending = try file.withRecords { records throws(QueueFileError) in try PendingDomains(&records, names: names) }
        if case .domain = selector, !pending.domains.contains(where: selector.means) { return Released(result: .vanished) }
        try file.makeDue(unthrottle: unthrottle)
        try move(path, to: id)
        return Released(result: .released, pending: pending)
    }

    private func move(_ path: String, to id: QueueID) throws(QueueFileError) {
        let target = layout.path(of: id, in: .incoming)
        if rename(path, target) == 0 { return }
        guard errno == ENOENT, layout.depth(of: QueueFolder.incoming.name) > 0 else {
            throw .system(operation: "rename \(path) to \(target)", code: errno)
        }
        // The hash directory may be the one that is missing: Postfix makes them when it needs them, and so do we.
        makeHashDirectories(for: id, in: .incoming)
        guard rename(path, target) == 0 else { throw .system(operation: "rename \(path) to \(target)", code: errno) }
    }

    private func makeHashDirectories(for id: QueueID, in folder: QueueFolder) {
        let root = layout.root(of: folder.name)
        var path = root
        for name in layout.directory(of: id, in: folder.name).dropFirst(root.count).split(separator: "/") {
            path += "/\(name)"
            // That it is there already is as good; any other failure shows at the rename.
            _ = mkdir(path, 0o700)
        }
    }
}
