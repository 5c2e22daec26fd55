// The HTTP API as plain calls, one for each endpoint.

import CurlTransport
import DispatchSockets
import FlushCore
import FlushWire

/// Calls the API of openapi.yaml. Any number of calls at once; `shutdown` ends them.
///
/// What the server refuses is told as the server tells it, and what never reached it by address and reason: see `FlushClientError`. For
/// the same in the words of `FlushService` there is `FlushClient`.
public struct APIClient: Sendable {
    /// What a list answers at most at once.
    public static let longestPage = 1_000
    /// What the server waits at most before it answers.
    public static let longestServerWait = 30

    let exchange: Exchange

    /// - Parameter loop: carries the connections; the calls may be made from anywhere.
    public init(to address: ServerAddress, options: FlushClientOptions = FlushClientOptions(), loop: EventLoop) {
        exchange = Exchange(
            address: address, options: options, http: CurlHTTP(loop: loop, maximumTransfers: options.maximumConnections))
    }

    public var address: ServerAddress { exchange.address }

    /// Ends all calls as cancelled and closes all connections. Must be called before the last reference goes.
    public func shutdown() async { await exchange.http.shutdown() }

    /// Nil for an answer that there is no such thing; other refusals go on.
    func optional<Value>(_ call: () async throws(FlushClientError) -> Value) async throws(FlushClientError) -> Value? {
        do throws(FlushClientError) { return try await call() } catch .problem(let problem, _) where problem.kind == .notFound { return nil }
    }

    /// Whole seconds, rounded up, that the server is asked to wait.
    static func serverWait(_ patience: Duration) -> Int {
        let (seconds, attoseconds) = patience.components
        guard seconds >= 0, patience > .zero else { return 0 }
        return min(longestServerWait, Int(clamping: seconds) + (attoseconds > 0 ? 1 : 0))
    }
}
