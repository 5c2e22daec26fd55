// SMTP's way in: an ETRN becomes flush requests, and what comes of them a reply of RFC 1985.

import DispatchSockets
import FlushCore
import SMTPServer
import Synchronization

/// Answers ETRN with a `FlushService`: in the daemon the core itself, on a host of its own one that asks elsewhere.
///
/// Checks in this order: what the argument names (501), who asks (459), how often (459), whether the named queue exists (459).
public final class ETRNGateway: ETRNHandler {
    /// What an operator sets.
    public struct Parameters: Sendable {
        public var emptyReply = ETRNEmptyReply.noMessages
        public var queues = ETRNQueues()
        /// How many ETRNs a client may send in `rateTimeUnit`; 0 sets no limit.
        public var rateLimit = 600
        public var rateTimeUnit: Duration = .seconds(60)

        public init() {}
    }

    /// Requests under way at once; more are told 459. A service that answers from memory has none, one that hangs has these.
    static let maximumUnderWay = 1000
    /// How long a service that had read its whole queue is believed to have: it does not forget, but may be restarted.
    static let indexConfidence: Duration = .seconds(1)

    private struct State {
        var rates: RateLimit
        var underWay = 0
        /// When the service last said that its index is complete.
        var indexWasComplete: Timestamp?
    }

    private let service: any FlushService
    private let parameters: Parameters
    private let time: any TimeSource
    private let isPermitted: @Sendable (SocketAddress) -> Bool
    private let state: Mutex<State>

    /// - Parameter isPermitted: whether a client may ask at all (`etrn_networks`).
    public init(
        service: any FlushService, parameters: Parameters = Parameters(), time: any TimeSource,
        isPermitted: @escaping @Sendable (SocketAddress) -> Bool
    ) {
        self.service = service
        self.parameters = parameters
        self.time = time
        self.isPermitted = isPermitted
        state = Mutex(State(rates: RateLimit(limit: parameters.rateLimit, unit: parameters.rateTimeUnit)))
    }

    public func answer(_ argument: String, from peer: Peer) async -> SMTPReply {
        let replies = ETRNReplies(node: argument, empty: parameters.emptyReply)
        guard let node = ETRNNode(argument) else { return replies.badParameter }
        guard isPermitted(peer.address) else { return replies.refused("\(Self.name(of: peer)) is not in etrn_networks") }
        guard state.withLock({ $0.rates.admit(ClientKey(peer.address), at: time.now) }) else {
            return replies.refused("too many requests from \(Self.name(of: peer)), try again later")
        }
        guard let targets = targets(of: node) else { return replies.refused("there is no such queue") }
        guard begin() else { return replies.refused("too many requests are under way, try again later") }
        defer { state.withLock { $0.underWay -= 1 } }
        return await replies.reply(to: flush(targets, for: peer))
    }

    private func targets(of node: ETRNNode) -> [ETRNTarget]? {
        switch node {
        case .target(let target): [target]
        case .queue(let name): parameters.queues[name]
        }
    }

    private func begin() -> Bool {
        state.withLock { state in
            guard state.underWay < Self.maximumUnderWay else { return false }
            state.underWay += 1
            return true
        }
    }

    // MARK: Asking

    /// Asks for each target in turn; one that fails keeps none from being asked for.
    private func flush(_ targets: [ETRNTarget], for peer: Peer) async -> ETRNOutcome {
        var outcome = ETRNOutcome()
        // Asked before the flush: a snapshot that is taken later cannot be of less.
        do throws(FlushError) {
            outcome.isCountComplete = try await isIndexComplete()
        } catch {
            outcome.failures.append(error)
            return outcome
        }
        for target in targets {
            let selector = FlushSelector.domain(target.domain, subdomains: target.subdomains)
            do throws(FlushError) {
                outcome.add(try await service.flush(FlushRequest(selector, via: .smtp, requestedBy: Self.asker(peer))))
            } catch { outcome.failures.append(error) }
        }
        if !outcome.isCountComplete, outcome.matched == 0, let reason = await whyQueueIsUnread() {
            outcome.failures.append(.queueUnavailable(reason: reason))
        }
        return outcome
    }

    /// Why nothing is known of the queue; nil while it is being read.
    private func whyQueueIsUnread() async -> String? {
        do throws(FlushError) { return try await service.status().lastReconcile?.failure } catch { return "\(error)" }
    }

    private func isIndexComplete() async throws(FlushError) -> Bool {
        let now = time.now
        if let seen = state.withLock({ $0.indexWasComplete }), seen <= now, now - seen < Self.indexConfidence { return true }
        let isComplete = try await service.status().isIndexComplete
        state.withLock { $0.indexWasComplete = isComplete ? now : nil }
        return isComplete
    }

    // MARK: Who asks

    /// As the other front ends put it: `trusted:192.0.2.1`, `unix:0`.
    private static func asker(_ peer: Peer) -> String {
        guard peer.address.isUnix else { return "trusted:\(peer.address.host)" }
        return "unix:\(peer.credentials.map { String($0.uid) } ?? "unknown")"
    }

    private static func name(of peer: Peer) -> String { peer.address.isUnix ? "the UNIX socket" : peer.address.host }
}
