// What was seen of a Postfix.

import PostfixQueue

/// Postfix as it is set up and as it runs.
struct PostfixFacts: Sendable, Equatable {
    var configurationDirectory: String
    var mainCf: MainCf
    /// `mail_owner`; nil when the system has no such user.
    var owner: Identity?

    var queueDirectory: FileFacts
    var publicDirectory: FileFacts
    /// The directories that hold messages or tell about them.
    var messageDirectories: [FileFacts]

    var flushSocket: FileFacts
    var conversation: Conversation
    /// Who serves the flush socket.
    var server: PeerProcess?

    var manager: QueueManager
    var log: MailLog?
    var clock: Clock

    /// How the queue manager took a trigger.
    struct QueueManager: Equatable, Sendable {
        enum Answer: Equatable, Sendable {
            /// It has read it.
            case taken
            /// It has accepted the trigger, and had not read it when the time was up.
            case pending
            /// This user may not ask.
            case forbidden
            case unreachable(String)
        }

        var answer: Answer
        /// Whether master(8) runs; nil when that may not be seen.
        var isMasterRunning: Bool?
    }

    /// The file that `postfix_log` names.
    struct MailLog: Equatable, Sendable {
        var file: FileFacts
        /// The directory on the way to it that keeps the daemon out; nil when none does.
        var closedDirectory: String?
    }

    /// Time stamps on the queue's file system.
    struct Clock: Equatable, Sendable {
        /// The file system's clock minus the system's; nil when it could not be compared.
        var skew: Duration?
        var filesLooked = 0
        /// Files of `deferred` that were changed at a time that has not come yet.
        var changedLater = 0
        /// Files of `deferred` whose next attempt is later than `maximal_backoff_time` from now.
        var dueTooLate = 0
    }
}
