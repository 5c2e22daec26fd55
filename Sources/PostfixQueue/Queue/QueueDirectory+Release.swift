// Giving messages back to the queue manager, as flush(8) does: time stamp, mode bit, rename.

import FlushCore
import Glibc

extension QueueDirectory {
    /// Moves a deferred message to `incoming`, due at once. The queue manager learns of it from a trigger, which is the caller's work.
    ///
    /// A crash in between leaves the message in `deferred`, due now, or in `incoming`: both are tried by Postfix itself in time.
    func release(_ id: QueueID, for selector: FlushSelector, unthrottle: Bool) -> ReleaseResult {
        for _ in 0..<2 {
            do throws(QueueFileError) {
                return try releaseDeferred(id, for: selector, unthrottle: unthrottle)
            } catch {
                guard error.isMissing else { return .failed(reason: "\(error)") }
            }
            switch locate(id) {
            case .incoming, .active: return .inDelivery
            case .hold: return .held
            case nil: return .vanished
            // It has come back in between.
            case .deferred: continue
            }
        }
        return .inDelivery
    }

    private func releaseDeferred(
        _ id: QueueID, for selector: FlushSelector, unthrottle: Bool
    ) throws(QueueFileError) -> ReleaseResult {
        let path = layout.path(of: id, in: .deferred)
        let file = try QueueFileHandle(path: path)
        if case .domain = selector {
            let pending = try file.withRecords { records throws(QueueFileError) in try PendingDomains(&records, names: names) }
            guard pending.domains.contains(where: selector.means) else { return .vanished }
        }
        try file.makeDue(unthrottle: unthrottle)
        try move(path, to: id)
        return .released
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
