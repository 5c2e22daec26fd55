// How the service itself is doing.

import DispatchSockets
import FlushCore
import FlushWire
import HTTPServer
import HTTPTypes
import JSONText
import Synchronization

extension ControlAPI {
    /// `GET /status`
    @Sendable func status(_ request: Request, _ principal: Principal) throws -> Answer<Response> {
        if !request.query.isEmpty { try QueryReader(request).finish() }
        if let status = service.statusAtHand() { return .now(response(showing: status, to: request)) }
        return later { response(showing: try await service.status(), to: request) }
    }

    private func response(showing status: FlushStatus, to request: Request) -> Response {
        let (response, tag) = statusSnapshot.response(for: status) { status in
            var writer = JSONWriter(capacity: 1_024)
            status.write(to: &writer, version: facts.version, engine: facts.engine)
            writer.endLine()
            return writer.bytes
        }
        guard !request.hasCurrent(tag: tag) else { return Response(status: .notModified, fields: [.eTag: "\"\(tag)\""]) }
        return response
    }

    /// `GET /policy`
    @Sendable func policy(_ request: Request, _ principal: Principal) async throws -> Response {
        try QueryReader(request).finish()
        return .json { facts.policy.write(to: &$0) }
    }

    /// `GET /readyz`
    func readiness() async -> Response {
        let impediments = await impediments()
        guard impediments.isEmpty else {
            return Response(
                status: .serviceUnavailable, fields: [.contentType: "text/plain; charset=utf-8", .retryAfter: "1"],
                body: .text(impediments.map { "not ready: \($0)\n" }.joined()))
        }
        return Response(contentType: "text/plain; charset=utf-8", body: .text("ready\n"))
    }
}

/// The last answer to `GET /status`, given again while nothing has changed.
final class StatusSnapshot: Sendable {
    private let last = Mutex<(status: FlushStatus, response: Response, tag: String)?>(nil)

    func response(for status: FlushStatus, write: (FlushStatus) -> [UInt8]) -> (Response, tag: String) {
        if let known = last.withLock({ $0 }), known.status == status { return (known.response, known.tag) }
        let bytes = write(status)
        let tag = Self.digest(bytes)
        let response = Response(fields: [.contentType: "application/json", .eTag: "\"\(tag)\""], body: .bytes(bytes))
        last.withLock { $0 = (status, response, tag) }
        return (response, tag)
    }

    /// FNV-1a, 64 bits: tells snapshots apart; nobody gains by forging one.
    private static func digest(_ bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return String(hash, radix: 16)
    }
}
