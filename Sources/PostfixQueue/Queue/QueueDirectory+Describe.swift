// A message as an operator wants to see it.

import FlushCore

extension QueueDirectory {
    /// Notes of an attempt that are told of one message.
    private static let maximumNotes = 100

    /// Nil when the message is gone, or makes no sense.
    func describe(_ id: QueueID) -> MessageDescription? {
        for folder in QueueFolder.allCases {
            guard let file = try? QueueFileHandle(path: layout.path(of: id, in: folder)),
                let content = try? file.withRecords({ records throws(QueueFileError) in try QueueFile(&records) })
            else { continue }
            return description(id, folder, content, modified: file.modified)
        }
        return nil
    }

    private func description(
        _ id: QueueID, _ folder: QueueFolder, _ file: QueueFile, modified: Timestamp
    ) -> MessageDescription {
        let log = reasons(of: id, limit: DeferLog.maximumBytes)
        let reasons = log.reasons
        let recipients = file.recipients.map { recipient in
            // Of one that is done Postfix keeps no word: it was delivered, or bounced.
            MessageDescription.Recipient(
                address: recipient.address, state: recipient.isPending ? .pending : .delivered,
                reason: recipient.isPending ? reasons[recipient.address] : nil)
        }
        // The log has no times; it is written when the attempt ends, which is when the message comes back.
        return MessageDescription(
            id: id, place: folder.place, arrival: file.arrival, size: file.size, sender: file.sender, recipients: recipients,
            nextAttempt: folder == .deferred ? modified : nil,
            history: log.entries.suffix(Self.maximumNotes).map {
                .init(at: log.written ?? file.arrival, recipient: $0.recipient, result: "deferred", text: $0.reason)
            })
    }
}
