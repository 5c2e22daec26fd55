// What a client said about a message before sending it.

import DispatchSockets

/// The envelope of one mail transaction, and who brought it.
public struct SMTPEnvelope: Sendable {
    /// What the client declared about the content (RFC 6152). A promise, not a fact: the content is taken as it comes.
    public enum Body: String, Sendable, Equatable {
        case sevenBit = "7BIT"
        case eightBitMIME = "8BITMIME"
    }

    public var sender: SMTPPath
    /// The `SIZE=` parameter in bytes (RFC 1870), at most `SMTPLimits.maximumMessageSize`; nil without one.
    public var declaredSize: Int?
    public var body: Body
    /// In the order given, duplicates included. The recipients accepted so far, when the intake is asked about one more.
    public var recipients: [SMTPPath]
    public var peer: Peer
    /// What HELO or EHLO said: letters, digits and `.-_:[]` only, never empty, unchecked otherwise.
    public var helo: String
    /// `SMTP` after HELO, `ESMTP` after EHLO: the `with` clause of a Received line.
    public var protocolName: String

    public init(
        sender: SMTPPath, declaredSize: Int? = nil, body: Body = .sevenBit, recipients: [SMTPPath] = [], peer: Peer,
        helo: String, protocolName: String = "ESMTP"
    ) {
        self.sender = sender
        self.declaredSize = declaredSize
        self.body = body
        self.recipients = recipients
        self.peer = peer
        self.helo = helo
        self.protocolName = protocolName
    }
}
