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
        let snapshot = lastStatus.snapshot(of: status) {
            var writer = JSONWriter(capacity: 1_024)
            status.write(to: &writer, version: facts.version, engine: facts.engine)
            writer.endLine()
            return writer.bytes
        }
        return request.hasCurrent(tag: snapshot.tag) ? snapshot.notModified : snapshot.response
    }

    /// `GET /policy`
    @Sendable func policy(_ request: Request, _ principal: Principal) throws -> Answer<Response> {
        try QueryReader(request).finish()
        return .now(.json { facts.policy.write(to: &$0) })
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

/// A status as it is answered.
final class StatusSnapshot: Sendable {
    let status: FlushStatus
    let tag: String
    let response: Response
    let notModified: Response

    init(_ status: FlushStatus, _ bytes: [UInt8]) {
        self.status = status
        tag = Self.digest(bytes)
        response = Response(fields: [.contentType: "application/json", .eTag: "\"\(tag)\""], body: .bytes(bytes)).prepared
        notModified = Response(status: .notModified, fields: [.eTag: "\"\(tag)\""]).prepared
    }

    /// FNV-1a, 64 bits: tells snapshots apart; nobody gains by forging one.
    private static func digest(_ bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return String(hash, radix: 16)
    }
}

/// The last answer to `GET /status`, given again while nothing has changed.
final class LastStatus: Sendable {
    private let last = Mutex<StatusSnapshot?>(nil)

    func snapshot(of status: FlushStatus, write: () -> [UInt8]) -> StatusSnapshot {
        if let known = last.withLock({ $0 }), known.status == status { return known }
        let snapshot = StatusSnapshot(status, write())
        last.withLock { $0 = snapshot }
        return snapshot
    }
}
