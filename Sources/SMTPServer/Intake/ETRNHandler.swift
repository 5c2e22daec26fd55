// The other thing that SMTP can ask for: the mail that waits for somebody.

import DispatchSockets

/// Answers ETRN (RFC 1985) for `SMTPServer`.
///
/// The calls of one connection come one after another, on the server's loop, and must not block; answers that have to be waited for
/// interleave with those of other connections. After `SMTPLimits.etrnTimeout` the client is told 458, and the answer, when it comes, is
/// dropped.
public protocol ETRNHandler: Sendable {
    /// The reply to `ETRN argument`: 250 to 253, 458, 459 or 501. It is sent as it is.
    ///
    /// - Parameter argument: one word of printable ASCII, not empty, as the client wrote it; what it means is checked here.
    func answer(_ argument: String, from peer: Peer) -> Answer<SMTPReply>
}
