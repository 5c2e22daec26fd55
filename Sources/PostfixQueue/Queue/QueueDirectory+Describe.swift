// A message as an operator wants to see it.

import FlushCore

extension QueueDirectory {
    /// Notes of an attempt that are told of one message.
    private static let maximumNotes = 100

    /// Nil when the message is gone, or makes no sense.
    ///
    /// - Parameter logged: what the mail log says of its recipients.
    func describe(_ id: QueueID, logged: [String: MailLogLine] = [:]) -> MessageDescription? {
        for _ in 0..<Self.looks {
            for folder in QueueFolder.allCases {
                guard let file = try? QueueFileHandle(path: layout.path(of: id, in: folder)),
                    let content = try? file.withRecords({ records throws(QueueFileError) in try QueueFile(&records) })
                else { continue }
                return description(id, folder, content, logged, modified: file.modified)
            }
        }
        return nil
    }

    private func description(
        _ id: QueueID, _ folder: QueueFolder, _ file: QueueFile, _ logged: [String: MailLogLine], modified: Timestamp
    ) -> MessageDescription {
        let log = reasons(of: id, limit: DeferLog.maximumBytes)
        let reasons = log.reasons
        // There only until the attempt has ended and the sender has been told.
        let bounces = file.hasDone ? self.reasons(of: id, in: QueueLayout.bounceLogs, limit: DeferLog.maximumBytes).reasons : [:]
        let recipients = file.recipients.map { recipient in
            let address = recipient.address
            if recipient.isPending { return MessageDescription.Recipient(address: address, state: .pending, reason: reasons[address]) }
            if let reason = bounces[address] { return MessageDescription.Recipient(address: address, state: .bounced, reason: reason) }
            // The file says that it is done, and not how.
            switch logged[address]?.status {
            case .sent: return MessageDescription.Recipient(address: address, state: .delivered)
            case .bounced: return MessageDescription.Recipient(address: address, state: .bounced, reason: logged[address]?.text)
            case .deferred, .removed, nil: return MessageDescription.Recipient(address: address, state: .finished)
            }
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
