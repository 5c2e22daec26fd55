// Giving messages back to the queue manager, as flush(8) does: time stamp, mode bit, rename.

import FlushCore
import Glibc

extension QueueDirectory {
    /// What was done with a message that was to be released, and what was read of it.
    struct Released: Sendable {
        var result: ReleaseResult
        var pending: PendingDomains?
    }

    /// A message before its move.
    enum Prepared: Sendable {
        case due(PendingDomains)
        /// It is not moved.
        case settled(ReleaseResult)
    }

    /// Reads deferred messages and makes those due at once that the selector means.
    ///
    /// A crash leaves them in `deferred`, where Postfix itself finds them in time.
    func prepare(_ ids: [QueueID], for selector: FlushSelector, unthrottle: Bool) -> [Prepared] {
        ids.map { prepare($0, for: selector, unthrottle: unthrottle) }
    }

    /// Moves what was prepared to `incoming`. The queue manager learns of it from a trigger, which is the caller's work.
    func move(_ ids: [QueueID], _ prepared: [Prepared], for selector: FlushSelector, unthrottle: Bool) -> [Released] {
        zip(ids, prepared).map { id, prepared in
            switch prepared {
            case .due(let pending): move(id, pending, for: selector, unthrottle: unthrottle)
            case .settled(let result): Released(result: result)
            }
        }
    }

    private func prepare(_ id: QueueID, for selector: FlushSelector, unthrottle: Bool) -> Prepared {
        for _ in 0..<Self.attempts {
            do throws(QueueFileError) {
                guard let pending = try makeDue(id, for: selector, unthrottle: unthrottle) else { return .settled(.vanished) }
                return .due(pending)
            } catch {
                guard error.isMissing else { return .settled(.failed(reason: "\(error)")) }
            }
            if let result = result(ofOneElsewhere: id, for: selector) { return .settled(result) }
        }
        return .settled(.inDelivery)
    }

    private func move(_ id: QueueID, _ pending: PendingDomains, for selector: FlushSelector, unthrottle: Bool) -> Released {
        var pending = pending
        for _ in 0..<Self.attempts {
            do throws(QueueFileError) {
                try move(id)
                return Released(result: .released, pending: pending)
            } catch {
                guard error.isMissing else { return Released(result: .failed(reason: "\(error)")) }
            }
            // Postfix has taken it up itself since it was read.
            switch prepare(id, for: selector, unthrottle: unthrottle) {
            case .due(let news): pending = news
            case .settled(let result): return Released(result: result)
            }
        }
        return Released(result: .inDelivery)
    }

    /// A message that is not where it was expected may have come back: it is looked for so often.
    private static let attempts = 2

    /// What is to be said of a message that is not in `deferred`; nil when it has come back in between.
    private func result(ofOneElsewhere id: QueueID, for selector: FlushSelector) -> ReleaseResult? {
        switch locate(id) {
        case .incoming: stays(id, in: .incoming, for: selector) ? .inDelivery : .vanished
        case .active: stays(id, in: .active, for: selector) ? .inDelivery : .vanished
        case .hold: stays(id, in: .hold, for: selector) ? .held : .vanished
        case nil: .vanished
        case .deferred: nil
        }
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

    /// Reads a deferred message and has Postfix find it due. Nil when the selector does not mean it.
    private func makeDue(_ id: QueueID, for selector: FlushSelector, unthrottle: Bool) throws(QueueFileError) -> PendingDomains? {
        if case .message(let wanted) = selector, wanted != id { return nil }
        let file = try QueueFileHandle(path: layout.path(of: id, in: .deferred))
        let pending = try file.withRecords { records throws(QueueFileError) in try PendingDomains(&records, names: names) }
        if case .domain = selector, !pending.domains.contains(where: selector.means) { return nil }
        try file.makeDue(unthrottle: unthrottle)
        return pending
    }

    private func move(_ id: QueueID) throws(QueueFileError) {
        let path = layout.path(of: id, in: .deferred)
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
