// The engine's side of SMTP: who may send what to whom, and where the content goes.

import DispatchSockets

/// What an engine gives to `SMTPServer`: its policy for senders and recipients, and a place for messages.
///
/// The calls of one connection come one after another, on the server's loop; those of several connections interleave. A call
/// may suspend for as long as it needs, at most `SMTPLimits.intakeTimeout`: the client waits, and nothing more is read from it meanwhile.
public protocol MailIntake: Sendable {
    /// May this sender begin a transaction? Nil is yes; a reply (4yz or 5yz) is sent instead of the 250.
    ///
    /// - Parameter declaredSize: the `SIZE=` parameter in bytes; what exceeds `maximumMessageSize` has been refused already.
    func checkSender(_ sender: SMTPPath, declaredSize: Int?, peer: Peer) async -> SMTPReply?

    /// Is this recipient taken? Nil is yes; a reply (4yz or 5yz) is sent instead of the 250, and the transaction goes on.
    ///
    /// - Parameters:
    ///   - recipient: never the null path; without a domain only if it is `postmaster` (RFC 5321, section 4.5.1).
    ///   - envelope: the transaction so far, with the recipients accepted before this one.
    func checkRecipient(_ recipient: SMTPPath, in envelope: SMTPEnvelope) async -> SMTPReply?

    /// Opens a place for a message, at DATA and before the 354.
    ///
    /// - Parameter envelope: with one recipient at least.
    /// - Throws: the reply to DATA.
    func begin(_ envelope: SMTPEnvelope) async throws(SMTPReply) -> any MessageWriter
}

/// Where one message's content goes: any number of `append`, then either `commit` or `abandon`, exactly once.
///
/// After an error of `append` comes `abandon`. After `commit` comes nothing, whether it returned or threw: it cleans up itself.
public protocol MessageWriter: Sendable {
    /// Takes the next bytes: dots unstuffed, every line ended with CRLF and nothing else, at most `SMTPLimits.contentChunk` bytes.
    ///
    /// - Throws: the reply to the content; the rest of it is read and dropped before the reply is sent.
    func append(_ bytes: [UInt8]) async throws(SMTPReply)

    /// Makes the message durable. Once it has returned, a crash loses nothing.
    ///
    /// The client may be gone by then and send the message again (RFC 1047).
    ///
    /// - Returns: the 250.
    func commit() async throws(SMTPReply) -> SMTPReply

    /// Forgets the message: the client is gone, or the content was refused.
    func abandon() async
}
