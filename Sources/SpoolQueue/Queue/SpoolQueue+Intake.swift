// New mail: where it goes, and when it becomes a message of the queue.

import DiskPort
import DispatchSockets
import FlushCore
import HashTreeCollections
import Logging
import SMTPServer

extension SpoolQueue {
    static let noRoom = SMTPReply(452, "4.3.1", "Insufficient system storage; try again later")

    /// The reply when the disk is too full for a message of `size` bytes; nil when there is room.
    func lackOfRoom(for size: Int) async -> SMTPReply? {
        do {
            let (sum, overflow) = parameters.queueMinfree.addingReportingOverflow(max(0, size))
            let needed = overflow ? Int.max : max(sum, 1)
            return try await freeBytes(atLeast: needed) < needed ? Self.noRoom : nil
        } catch {
            logger.error("free space unknown", metadata: ["error": "\(error)"])
            return SMTPReply(451, "4.3.0", "The queue's disk does not answer; try again later")
        }
    }

    /// The free space. When it was enough half a second ago that is believed: a question to the disk for each MAIL and each DATA
    /// would stand in line behind the syncs of other messages. What fills the disk meanwhile is refused when it is written.
    private func freeBytes(atLeast needed: Int) async throws(SpoolError) -> Int {
        let longestAge = Duration.milliseconds(500)
        let asked = time.now
        // An age below zero: the clock was set back.
        if let known = freeSpace, known.bytes >= needed, (.zero..<longestAge).contains(asked - known.asked) { return known.bytes }
        let bytes = try await pool.run { [directory] () throws(SpoolError) in try directory.freeBytes() }
        freeSpace = (bytes, asked)
        return bytes
    }

    func makeWriter(for mail: SMTPEnvelope) throws(SMTPReply) -> SpoolWriter {
        guard isServing else { throw SMTPReply(451, "4.3.2", "The mail queue is not running; try again later") }
        let id = makeID()
        let now = time.now
        let envelope = SpoolEnvelope(
            id: id, arrival: now, size: 0, sender: mail.sender.mailbox, client: "\(mail.peer.address)", helo: mail.helo,
            recipients: Self.recipients(of: mail))
        let received = ReceivedLine(mail, by: parameters.myhostname, id: id, at: now)
        return SpoolWriter(queue: self, envelope: envelope, received: Array(received.text.utf8))
    }

    /// Each address once: a second copy in the same mailbox helps nobody.
    private static func recipients(of mail: SMTPEnvelope) -> [SpoolEnvelope.Recipient] {
        var seen: Set<String> = []
        return mail.recipients.compactMap { path in
            let domain = path.domain.map { $0.lowercased() } ?? ""
            guard seen.insert("\(path.localPart)@\(domain)").inserted else { return nil }
            return SpoolEnvelope.Recipient(address: path.mailbox)
        }
    }

    /// A message is about to appear on the disk; scans must not take it for one that somebody put there.
    func expect(_ envelope: SpoolEnvelope) throws(SpoolError) {
        guard isServing else { throw .system(operation: "take a message while stopping", code: 0) }
        arriving.insert(envelope.id)
    }

    func forget(_ id: QueueID) { arriving.remove(id) }

    /// Where a new message goes: to `incoming`, when it can be tried at once; else it waits.
    func folder(for envelope: SpoolEnvelope) -> SpoolFolder {
        let now = time.now
        let isTried = envelope.pendingDomains.contains { domain in
            guard let route = routes.route(for: domain), !route.etrnOnly else { return false }
            return sites.suspension(of: route.nextHop, at: now) == nil
        }
        return isTried ? .incoming : .deferred
    }

    func sync(_ folder: SpoolFolder) async throws(SpoolError) {
        try await (folder == .incoming ? incomingSync : deferredSync).sync()
    }

    /// A message is durable: it becomes a message of the queue, and is tried at once when it may be.
    func accept(_ envelope: SpoolEnvelope, in folder: SpoolFolder) {
        let id = envelope.id
        arriving.remove(id)
        let now = time.now
        let wait = RetrySchedule.backoff(arrival: envelope.arrival, now: now, parameters: parameters)
        entries[id] = entry(for: envelope, in: folder, next: folder == .incoming ? now : now + wait)
        if let entry = entries[id], folder == .incoming {
            let own = ownDomains(of: entry)
            if own.isEmpty { plan(id) } else { begin(id, domains: own) }
        } else {
            plan(id)
        }
        if let entry = entries[id] { tell(.queued(queued(id, entry))) }
        logger.info(
            "message queued",
            metadata: ["queue_id": "\(id)", "size": "\(envelope.size)", "recipients": "\(envelope.recipients.count)"])
        pump()
    }
}
