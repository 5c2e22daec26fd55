// What was seen of the state directory, the disk and the daemon.

/// The daemon's own directory.
struct StateFacts: Equatable, Sendable {
    var directory: FileFacts
    var parent: FileFacts
    /// What is in it and known by name; missing files are left out.
    var files: [FileFacts]
}

/// Room for mail.
struct DiskFacts: Equatable, Sendable {
    var path: String
    /// Bytes that a user without privileges may still write.
    var available: Int
    /// Files that may still be made; nil where the file system has no bound.
    var availableFiles: Int?
    /// Below this no mail is taken.
    var required: Int
    /// Which parameters `required` comes from.
    var because: String
}

/// The running daemon, as its HTTP API shows it.
struct DaemonFacts: Equatable, Sendable {
    /// An address of `http_listen` and how it went there.
    struct Door: Equatable, Sendable {
        enum Answer: Equatable, Sendable {
            case alive
            /// Nobody is there.
            case unreachable(String)
            /// Somebody is there who does not answer as we do.
            case strange(String)
            /// This user may not ask there.
            case forbidden
            /// The kernel chooses its port at each start: nobody can know it here.
            case unknowable
        }

        var address: String
        var answer: Answer
    }

    struct SMTPDoor: Equatable, Sendable {
        var address: String
        var conversation: Conversation
    }

    var doors: [Door]
    /// How the addresses of `smtp_listen` greet; without those that nobody can know here.
    var smtpDoors: [SMTPDoor] = []
    /// Who serves the UNIX socket.
    var server: PeerProcess?
    /// The address that the questions below were put to; nil when none would answer us.
    var askedAt: String?
    /// Why no address answered our questions, when one is alive.
    var refusal: String?
    /// What keeps it from being ready; empty when it is.
    var impediments: [String] = []
    /// Of `GET /policy`.
    var warnings: [String] = []
    /// The value of `queue_engine` that it runs with.
    var engine: String?
}
