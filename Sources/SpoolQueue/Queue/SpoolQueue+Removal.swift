// Messages and kept reports removed by an operator.

import DiskPort
import FlushCore
import HashTreeCollections
import Logging

extension SpoolQueue {
    public func remove(_ id: QueueID) async throws(MailQueueError) {
        if looks[id] != nil || entries[id] == nil && !arriving.contains(id) { await refresh(id) }
        guard let entry = entries[id] else { throw .notFound(id) }
        guard entry.activity == .idle || entry.activity == .inLine else { throw .busy(id) }
        entries[id]?.activity = .moving
        let wasThere: Bool
        do throws(SpoolError) {
            wasThere = try await pool.run { [directory] () throws(SpoolError) -> Bool in
                let folder = directory.contains(id, in: entry.folder) ? entry.folder : directory.locate(id)
                guard let folder else { return false }
                // The notes first: of a message that is gone, nobody would look for them.
                directory.removeNotes(about: id)
                try directory.remove(id, from: folder)
                try directory.sync(folder)
                return true
            }
        } catch {
            if entries[id]?.activity == .moving { entries[id]?.activity = .idle }
            await refresh(id)
            throw .unavailable("\(error)")
        }
        entries[id] = nil
        unsynced[id] = nil
        tell(.left(id))
        // Somebody else had taken it away.
        guard wasThere else { throw .notFound(id) }
        logger.notice("message removed", metadata: ["queue_id": "\(id)"])
    }

    // MARK: Kept reports

    /// Kept reports in the order of their IDs, those after `after`, at most `limit` (and at most a page, and one that tells
    /// whether there is another page).
    ///
    /// Lists the directory each time: kept reports are few, or an operator is about to make them few.
    public func bounces(after: QueueID?, limit: Int) async throws(MailQueueError) -> [KeptReport] {
        let limit = min(max(limit, 0), Self.pageSize + 1)
        do throws(SpoolError) {
            return try await pool.run { [directory] () throws(SpoolError) in
                let ids = try directory.list(.bounces).ids.filter { id in after.map { id > $0 } ?? true }.sorted()
                var reports: [KeptReport] = []
                for id in ids {
                    guard reports.count < limit else { break }
                    // One that is removed meanwhile, or cannot be read, is passed over.
                    if let report = try? directory.keptReport(id, withContent: false) { reports.append(report) }
                }
                return reports
            }
        } catch { throw .unavailable("\(error)") }
    }

    /// A kept report, with its text.
    public func bounce(_ id: QueueID) async throws(MailQueueError) -> KeptReport {
        do throws(SpoolError) {
            return try await pool.run { [directory] () throws(SpoolError) in try directory.keptReport(id, withContent: true) }
        } catch  where error.isMissing { throw .notFound(id) } catch { throw .unavailable("\(error)") }
    }

    /// Removes a kept report. Durable when it returns.
    public func removeBounce(_ id: QueueID) async throws(MailQueueError) {
        do throws(SpoolError) {
            try await pool.run { [directory] () throws(SpoolError) in
                try directory.remove(id, from: .bounces)
                try directory.sync(.bounces)
            }
            keptReports = max(0, keptReports - 1)
        } catch  where error.isMissing { throw .notFound(id) } catch { throw .unavailable("\(error)") }
    }
}

extension SpoolQueue: BounceReports {}

extension SpoolDirectory {
    fileprivate func keptReport(_ id: QueueID, withContent: Bool) throws(SpoolError) -> KeptReport {
        let message = try open(id, in: .bounces, writable: false)
        let envelope = message.envelope
        var content: String?
        if withContent {
            let bytes = try message.handle.read(at: message.layout.content, count: min(envelope.size, KeptReport.maximumContent))
            content = String(decoding: bytes, as: UTF8.self)
        }
        return KeptReport(
            id: id, original: envelope.report?.original ?? id, arrival: envelope.arrival, size: envelope.size,
            sender: envelope.report?.sender ?? envelope.sender,
            recipients: envelope.report?.failed ?? envelope.recipients.map(\.address), reason: envelope.report?.reason ?? "", content: content)
    }
}
