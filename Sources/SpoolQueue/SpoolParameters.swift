// What an operator can set about the spool.

import FlushCore

/// The parameters of the spool engine, named and meant as Postfix's.
public struct SpoolParameters: Sendable {
    /// Our name in EHLO, in Received lines and in reports.
    public var myhostname: String
    /// Carries reports to senders. Without one they are kept. Must not use MX records.
    public var relayhost: NextHop?
    /// A message with this many Received lines, our own included, is in a loop.
    public var hopcountLimit = 50
    /// Mail is refused for now when fewer bytes are free than this (and than the message needs).
    public var queueMinfree = 0
    /// The largest content in bytes; the SMTP server enforces it, here it bounds what a message may need on the disk.
    public var messageSizeLimit = 10_240_000
    /// Transmissions at the same time, all next hops together. One next hop gets at most half of them.
    public var deliveryConcurrency = 20
    /// The shortest time between two attempts, and how long an unreachable next hop is left alone.
    public var minimalBackoffTime: Duration = .seconds(300)
    /// The longest time between two attempts.
    public var maximalBackoffTime: Duration = .seconds(4_000)
    /// Retries are made on time; this is how long the schedule sleeps at most, so that a clock that was set is noticed.
    public var queueRunDelay: Duration = .seconds(300)
    /// Mail and reports that are older are given back to their sender. Zero: one attempt.
    public var maximalQueueLifetime: Duration = .seconds(5 * 86_400)
    /// Reports that nobody can carry, kept until an operator has read them. Beyond this the oldest are dropped, and the log says which:
    /// a stranger's mail to unknown users must not fill the disk.
    public var keptReportLimit = 10_000

    public init(myhostname: String) { self.myhostname = myhostname }
}
