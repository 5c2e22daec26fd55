// What the daemon wants of the mail queue behind it, whichever that is.

import FlushCore
import SMTPServer

/// A mail queue with what belongs to it. The core follows `queue`; the daemon does the rest.
protocol Engine: Sendable {
    var queue: any MailQueue { get }
    /// Takes mail by SMTP; nil where that is somebody else's business.
    var intake: (any MailIntake)? { get }
    /// Keeps reports that could not be sent; nil where that is somebody else's business.
    var bounces: (any BounceReports)? { get }
    /// Whether a next hop without brackets, which means a look-up of its mail exchangers, can be used.
    var usesMX: Bool { get }
    /// What an operator should know of the queue's own settings.
    var warnings: [String] { get }

    /// Begins to work, and to answer those who ask `core` by ways of the queue's own. `core` is open and has not started.
    func start(_ core: FlushServer) async throws(DaemonError)

    func stop(within limit: Duration) async

    /// The relay domains have changed.
    func routesChanged() async

    /// What keeps the queue's own programs from reaching us, in words for an operator.
    func impediments() -> [String]
}
