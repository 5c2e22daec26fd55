// The directories of the spool: a message's state is the directory that its file is in.

/// A directory below the spool's root.
enum SpoolFolder: Int, CaseIterable, Sendable {
    /// Being received and not yet acknowledged; emptied at start.
    case temporary
    /// Accepted or released, next in line for delivery.
    case incoming
    /// In transmission.
    case active
    /// Waits for its next attempt, or to be asked for.
    case deferred
    /// Stopped by an operator, who moved it here.
    case hold
    /// What the attempts said, a text file per message: a window for operators, not synced, bounded.
    case notes
    /// Reports that nobody can carry, and what they are about.
    case bounces
    /// Files that cannot be understood. Nothing is ever deleted from here.
    case corrupt

    var name: String {
        switch self {
        case .temporary: "tmp"
        case .incoming: "incoming"
        case .active: "active"
        case .deferred: "deferred"
        case .hold: "hold"
        case .notes: "defer"
        case .bounces: "bounces"
        case .corrupt: "corrupt"
        }
    }

    /// Where a message of the queue can be, in the order in which it goes through them.
    static let queue: [SpoolFolder] = [.incoming, .active, .deferred, .hold]
}
