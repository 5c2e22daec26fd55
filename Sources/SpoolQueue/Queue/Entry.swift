// What the queue remembers of a message.

import FlushCore

/// A message's entry: what decides when it is tried. About a hundred bytes; everything else is in its file.
struct Entry: Sendable {
    var arrival: Timestamp
    var size: Int
    /// The domains of the pending recipients.
    var domains: [DomainName]
    /// When the schedule looks at it next.
    var next: Timestamp
    /// Where its file is.
    var folder: SpoolFolder
    var activity = Activity.idle
    var isReport: Bool
    /// False when only a report or the removal of the file is still owed.
    var hasPending: Bool
    /// A report is still to be made.
    var owesReport: Bool
    /// An attempt has set its time: it keeps its back-off when relay domains change.
    var wasTried = false

    enum Activity: Sendable, Equatable {
        case idle
        /// Due, and in line for a slot; a release may take it out of the line.
        case inLine
        /// Its file is being moved or removed.
        case moving
        /// An attempt owns it.
        case attempt
    }

    /// Something is to be done that needs no attempt.
    var isUnfinished: Bool { !hasPending || owesReport }

    var place: MessagePlace {
        if folder == .hold { return .held }
        return activity == .attempt ? .inDelivery : .deferred
    }
}

/// Whose turn it is: mail for one next hop, or for none.
enum Lane: Hashable, Sendable {
    case hop(NextHop)
    /// No relay domain, or a next hop that the spool cannot use: the text says why.
    case nowhere(String)
}

/// What waits in a lane.
enum Work: Sendable {
    /// A message that is due; it becomes an attempt when it gets its slot.
    case due(QueueID)
    case part(Part)
}

/// The part of an attempt that goes to one next hop.
struct Part: Sendable {
    var attempt: Attempt
    /// The domains that are meant; nil for a report, whose only recipient has any.
    var domains: [DomainName]?
}
