// Which mail the spool takes: for relay domains only, and only while there is room.

import DispatchSockets
import FlushCore
import SMTPServer

/// The spool's policy for senders and recipients, and its place for messages.
///
/// Asked on the loop, and stays there.
public struct SpoolIntake: MailIntake {
    private let queue: SpoolQueue

    /// Messages are taken once `SpoolQueue.start()` has returned.
    public init(queue: SpoolQueue) { self.queue = queue }

    nonisolated(nonsending) public func checkSender(_ sender: SMTPPath, declaredSize: Int?, peer: Peer) async -> SMTPReply? {
        await queue.lackOfRoom(for: declaredSize ?? 0)
    }

    nonisolated(nonsending) public func checkRecipient(_ recipient: SMTPPath, in envelope: SMTPEnvelope) async -> SMTPReply? {
        guard let text = recipient.domain else {
            return SMTPReply(550, "5.1.1", "\(recipient): there are no mailboxes here; the address needs a domain")
        }
        guard !recipient.hasLiteral, !Self.hasRoute(recipient) else { return Self.denied(recipient) }
        let domain: DomainName
        do { domain = try DomainName(parsing: text) } catch {
            return SMTPReply(501, "5.1.3", "\(recipient): bad recipient domain: \(error)")
        }
        guard let route = queue.routes.route(for: domain) else { return Self.denied(recipient) }
        guard !route.nextHop.usesMX else {
            return SMTPReply(450, "4.3.5", "\(recipient): this domain's next hop needs an MX lookup, which this server cannot do")
        }
        guard route.acceptsNew else {
            return SMTPReply(450, "4.3.2", "\(recipient): this domain is being moved away and takes no new mail here")
        }
        guard envelope.recipients.count < SpoolFile.maximumRecipients else { return SMTPReply(452, "4.5.3", "Too many recipients") }
        return nil
    }

    /// Whether the local part names a way of its own (`user%elsewhere`, `elsewhere!user`, `"user@elsewhere"`). A site that trusts us
    /// might follow it, and be the open relay that we are not (Postfix: `allow_untrusted_routing = no`).
    private static func hasRoute(_ recipient: SMTPPath) -> Bool { recipient.localPart.utf8.contains { "%!@".utf8.contains($0) } }

    private static func denied(_ recipient: SMTPPath) -> SMTPReply { SMTPReply(554, "5.7.1", "\(recipient): Relay access denied") }

    nonisolated(nonsending) public func begin(_ envelope: SMTPEnvelope) async throws(SMTPReply) -> any MessageWriter {
        if let reply = await queue.lackOfRoom(for: envelope.declaredSize ?? 0) { throw reply }
        return try await queue.makeWriter(for: envelope)
    }
}
