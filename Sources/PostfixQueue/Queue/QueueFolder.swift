// The directories of a Postfix queue that hold messages.

import FlushCore

/// A state of a message, and the directory that stands for it.
enum QueueFolder: UInt8, CaseIterable, Sendable {
    /// In the order in which a message goes through them after its release: who looks for one that moves looks in this order.
    case deferred, incoming, active, hold

    var name: String {
        switch self {
        case .deferred: "deferred"
        case .incoming: "incoming"
        case .active: "active"
        case .hold: "hold"
        }
    }

    var place: MessagePlace {
        switch self {
        case .deferred: .deferred
        case .incoming, .active: .inDelivery
        case .hold: .held
        }
    }
}
