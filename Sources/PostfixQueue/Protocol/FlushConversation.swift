// One client of the flush socket: the greeting, one request, one status, the end.

import DispatchSockets

/// A connection of the flush socket.
// @unchecked: only its loop touches it; the task that answers stays on the loop (`LoopTasks`).
final class FlushConversation: ConnectionHandler, @unchecked Sendable {
    private let socket: FlushSocket
    private var connection: Connection?
    private var parser = AttributeListParser()
    private var hasRequest = false

    init(_ connection: Connection, socket: FlushSocket) {
        self.socket = socket
        self.connection = connection
        connection.deadline = connection.loop.now + socket.limits.idleTimeout
        connection.write(FlushProtocolReply.greeting)
    }

    func connection(_ connection: Connection, received bytes: RawSpan) {
        guard !hasRequest else { return }
        switch parser.take(bytes) {
        case .more: return
        case .complete(let list): take(list)
        case .trigger(let byte):
            if byte == UInt8(ascii: "W") {
                finish(.ok)
                socket.maintain(.refresh)
            } else {
                hangUp()
            }
        case .refused:
            socket.count(\.malformed)
            finish(.bad)
        }
    }

    private func take(_ list: AttributeList) {
        let parsed: (request: FlushProtocolRequest, hasMore: Bool)
        do throws(FlushProtocolRequest.Invalid) {
            parsed = try FlushProtocolRequest.parse(list)
        } catch {
            socket.count(\.malformed)
            switch error {
            case .malformed: return finish(.bad)
            case .unknown: return hangUp()
            }
        }
        if parsed.hasMore { socket.noteExtraAttributes() }
        hasRequest = true
        switch parsed.request {
        // These are answered first, and the work follows.
        case .refresh:
            finish(.ok)
            socket.maintain(.refresh)
        case .purge:
            finish(.ok)
            socket.maintain(.purge)
        case .add, .sendSite, .sendFile: answer(parsed.request)
        }
    }

    private func answer(_ request: FlushProtocolRequest) {
        guard let connection else { return }
        let requestedBy = connection.peer.credentials.map { "unix:\($0.uid)" } ?? "unix"
        connection.deadline = connection.loop.now + socket.limits.answerTimeout
        // An `add` is answered within this call: the service's actor is on the same loop, and waits for nothing.
        socket.tasks.begin { await self.answer(request, requestedBy) }
    }

    nonisolated(nonsending) private func answer(_ request: FlushProtocolRequest, _ requestedBy: String) async {
        finish(await socket.answer(request, requestedBy: requestedBy))
    }

    private func finish(_ reply: FlushProtocolReply) {
        guard let connection else { return }
        hasRequest = true
        connection.deadline = nil
        connection.write(reply.encoded)
        connection.close()
        self.connection = nil
    }

    private func hangUp() {
        hasRequest = true
        connection?.deadline = nil
        connection?.close()
        connection = nil
    }

    func connectionReachedEnd(_ connection: Connection) {
        // The client has sent all; it may still wait for the status.
        if !hasRequest { hangUp() }
    }

    func connectionTimedOut(_ connection: Connection) {
        if hasRequest { finish(.failed) } else { hangUp() }
    }

    func connectionClosed(_ connection: Connection, error: SocketError?) { self.connection = nil }
}
