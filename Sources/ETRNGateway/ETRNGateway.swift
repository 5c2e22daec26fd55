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

    public func answer(_ argument: String, from peer: Peer) -> Answer<SMTPReply> {
        let replies = ETRNReplies(node: argument, empty: parameters.emptyReply)
        guard let node = ETRNNode(argument) else { return .now(replies.badParameter) }
        guard isPermitted(peer.address) else { return .now(replies.refused("\(Self.name(of: peer)) is not in etrn_networks")) }
        let now = time.now
        guard state.withLock({ $0.rates.admit(ClientKey(peer.address), at: now) }) else {
            return .now(replies.refused("too many requests from \(Self.name(of: peer)), try again later"))
        }
        guard let targets = targets(of: node) else { return .now(replies.refused("there is no such queue")) }

        guard begin() else { return .now(replies.refused("too many requests are under way, try again later")) }

        var asking = Asking(targets: targets[...], asker: Self.asker(peer))
        if askAtHand(&asking, now) {
            end()
            return .now(replies.reply(to: asking.outcome))
        }
        return .later { [asking] in
            defer { self.end() }
            return replies.reply(to: await self.ask(asking))
        }
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

    private func end() { state.withLock { $0.underWay -= 1 } }

    // MARK: Asking

    /// The requests for one ETRN, as far as they have come.
    private struct Asking {
        /// Not asked for yet.
        var targets: ArraySlice<ETRNTarget>
        let asker: String
        var knowsCompleteness = false
        var outcome = ETRNOutcome()

        /// The next target's request.
        var request: FlushRequest? {
            targets.first.map { FlushRequest(.domain($0.domain, subdomains: $0.subdomains), via: .smtp, requestedBy: asker) }
        }

        mutating func add(_ result: Result<Flush, FlushError>) {
            targets.removeFirst()
            switch result {
            case .success(let flush): outcome.add(flush)
            case .failure(let error): outcome.failures.append(error)
            }
        }

        mutating func note(isIndexComplete: Bool) {
            knowsCompleteness = true
            outcome.isCountComplete = isIndexComplete
        }

        /// Nothing was found, and that may be because the queue has not been read.
        var wantsReason: Bool { !outcome.isCountComplete && outcome.matched == 0 }
    }

    /// Asks for as much as the service answers without a wait; true when that was all.
    private func askAtHand(_ asking: inout Asking, _ now: Timestamp) -> Bool {
        // Asked before the flush: a snapshot that is taken later cannot be of less.
        if indexIsSurelyComplete(now) {
            asking.note(isIndexComplete: true)
        } else if let status = service.statusAtHand() {
            asking.note(isIndexComplete: noted(status, now))
        } else {
            return false
        }
        while let request = asking.request {
            do throws(FlushError) {
                guard let flush = try service.flushAtHand(request) else { return false }
                asking.add(.success(flush))
            } catch { asking.add(.failure(error)) }
        }
        return !asking.wantsReason
    }

    /// Asks for each target in turn; one that fails keeps none from being asked for.
    private func ask(_ begun: Asking) async -> ETRNOutcome {
        var asking = begun
        if !asking.knowsCompleteness {
            let now = time.now
            do throws(FlushError) {
                asking.note(isIndexComplete: noted(try await service.status(), now))
            } catch {
                asking.outcome.failures.append(error)
                return asking.outcome
            }
        }
        while let request = asking.request {
            do throws(FlushError) {
                asking.add(.success(try await service.flush(request)))
            } catch { asking.add(.failure(error)) }
        }
        if asking.wantsReason, let reason = await whyQueueIsUnread() {
            asking.outcome.failures.append(.queueUnavailable(reason: reason))
        }
        return asking.outcome
    }

    /// Why nothing is known of the queue; nil while it is being read.
    private func whyQueueIsUnread() async -> String? {
        do throws(FlushError) { return try await service.status().lastReconcile?.failure } catch { return "\(error)" }
    }

    private func indexIsSurelyComplete(_ now: Timestamp) -> Bool {
        guard let seen = state.withLock({ $0.indexWasComplete }) else { return false }
        return seen <= now && now - seen < Self.indexConfidence
    }

    private func noted(_ status: FlushStatus, _ now: Timestamp) -> Bool {
        state.withLock { $0.indexWasComplete = status.isIndexComplete ? now : nil }
        return status.isIndexComplete
    }

    // MARK: Who asks

    /// As the other front ends put it: `trusted:192.0.2.1`, `unix:0`.
    private static func asker(_ peer: Peer) -> String {
        guard peer.address.isUnix else { return "trusted:\(peer.address.host)" }
        return "unix:\(peer.credentials.map { String($0.uid) } ?? "unknown")"
    }

    private static func name(of peer: Peer) -> String { peer.address.isUnix ? "the UNIX socket" : peer.address.host }
}
