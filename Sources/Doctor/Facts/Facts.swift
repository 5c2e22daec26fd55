// Everything that was seen, before anybody says what it means.

/// The facts of one examination.
struct Facts: Sendable, Equatable {
    /// The file that was read; nil when there was none.
    var configurationFile: String?
    var configurationWarnings: [String]
    var engine: String
    /// Who asks: the doctor's own process.
    var doctor: Identity
    var state: StateFacts
    var disks: [DiskFacts]
    /// Nil with the spool engine, and when main.cf could not be read.
    var postfix: PostfixFacts?
    /// Why main.cf could not be read.
    var postfixProblem: String?
    var daemon: DaemonFacts
    var domain: DomainFacts?

    /// Who the daemon runs as, as far as it can be seen.
    var daemonIdentity: Identity? { (postfix?.server ?? daemon.server)?.identity }
}
