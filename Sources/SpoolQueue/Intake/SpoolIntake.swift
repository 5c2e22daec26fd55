// Which mail the spool takes: for relay domains only, and only while there is room.

import DispatchSockets
import FlushCore
import SMTPServer

/// The spool's policy for senders and recipients, and its place for messages.
public struct SpoolIntake: MailIntake {
    private let queue: SpoolQueue

    /// Messages are taken once `SpoolQueue.start()` has returned.
    public init(queue: SpoolQueue) { self.queue = queue }

    public func checkSender(_ sender: SMTPPath, declaredSize: Int?, peer: Peer) async -> SMTPReply? {
        await queue.lackOfRoom(for: declaredSize ?? 0)
    }

    public func checkRecipient(_ recipient: SMTPPath, in envelope: SMTPEnvelope) async -> SMTPReply? {
        guard let text = recipient.domain else {
            return SMTPReply(550, "5.1.1", "\(recipient): there are no mailboxes here; the address needs a domain")
        }
        guard !recipient.hasLiteral else { return Self.denied(recipient) }
        let domain: DomainName
        do { domain = try DomainName(parsing: text) } catch {
            return SMTPReply(501, "5.1.3", "\(recipient): bad recipient domain: \(error)")
        }
        guard let route = queue.routes.route(for: domain) else { return Self.denied(recipient) }
        guard route.acceptsNew else {
            return SMTPReply(450, "4.3.2", "\(recipient): this domain is being moved away and takes no new mail here")
        }
        guard envelope.recipients.count < SpoolFile.maximumRecipients else { return SMTPReply(452, "4.5.3", "Too many recipients") }
        return nil
    }

    private static func denied(_ recipient: SMTPPath) -> SMTPReply { SMTPReply(554, "5.7.1", "\(recipient): Relay access denied") }

    public func begin(_ envelope: SMTPEnvelope) async throws(SMTPReply) -> any MessageWriter {
        if let reply = await queue.lackOfRoom(for: envelope.declaredSize ?? 0) { throw reply }
        return try await queue.makeWriter(for: envelope)
    }
}
