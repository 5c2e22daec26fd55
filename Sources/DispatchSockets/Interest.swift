// What one wants to know about a descriptor.

import CLinux

/// What a descriptor is watched for, and what was found.
public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let read = Interest(rawValue: 1)
    public static let write = Interest(rawValue: 2)
    /// The peer is gone or the descriptor has an error. Reported only; asked for or not.
    public static let hangup = Interest(rawValue: 4)

    var pollEvents: UInt32 {
        (contains(.read) ? PollEvents.readable : 0) | (contains(.write) ? PollEvents.writable : 0)
    }

    /// An error or a hang-up makes both directions ready: whoever reads or writes next is told which it is.
    init(pollEvents: UInt32) {
        var found: Interest = []
        if pollEvents & PollEvents.readable != 0 { found.insert(.read) }
        if pollEvents & PollEvents.writable != 0 { found.insert(.write) }
        if pollEvents & PollEvents.broken != 0 { found.formUnion([.hangup, .read, .write]) }
        self = found
    }
}

/// epoll's event bits.
enum PollEvents {
    static let readable = UInt32(EPOLLIN.rawValue)
    static let writable = UInt32(EPOLLOUT.rawValue)
    static let failed = UInt32(EPOLLERR.rawValue)
    static let hungUp = UInt32(EPOLLHUP.rawValue)
    static let broken = failed | hungUp
}
