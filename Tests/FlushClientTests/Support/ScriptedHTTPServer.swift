// An HTTP server that says what a test wants, over a real socket on loopback.

import DispatchSockets
import Synchronization

/// What the server does with a request.
enum HTTPReaction: Sendable {
    /// Says exactly this.
    case say(String)
    case sayAndClose(String)
    /// Resets the connection.
    case abort
    case silence

    /// A whole answer.
    static func answer(_ status: String, _ type: String, _ body: String, _ fields: String = "") -> HTTPReaction {
        .say("HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }
}

/// One request's head after another, without bodies.
// @unchecked: the listener is touched only on `loop`; what was seen is locked.
final class ScriptedHTTPServer: @unchecked Sendable {
    struct Seen: Sendable {
        var connections = 0
        var heads: [String] = []
    }

    /// What to do with the n-th request, from 1.
    typealias Script = @Sendable (_ request: Int, _ head: String) -> HTTPReaction

    let port: UInt16
    private let loop: EventLoop
    private let state = Mutex(Seen())

    private init(loop: EventLoop, port: UInt16) {
        self.loop = loop
        self.port = port
    }

    var url: String { "http://127.0.0.1:\(port)" }
    var seen: Seen { state.withLock { $0 } }

    static func run<Result: Sendable>(_ script: @escaping Script, _ body: (ScriptedHTTPServer) async throws -> Result) async throws -> Result {
        let loop = try EventLoop(label: "scripted-http-server")
        let box = Mutex<ScriptedHTTPServer?>(nil)
        let server: ScriptedHTTPServer = try await loop.run {
            let listener = try loop.listen(at: SocketAddress(parsing: "127.0.0.1:0"), limits: ListenerLimits()) { connection in
                guard let server = box.withLock({ $0 }) else { return connection.abort() }
                server.state.withLock { $0.connections += 1 }
                connection.handler = Handler(server: server, script: script)
            }
            let server = ScriptedHTTPServer(loop: loop, port: listener.address.port ?? 0)
            box.withLock { $0 = server }
            return server
        }
        do {
            let result = try await body(server)
            await loop.run { loop.shutdown() }
            return result
        } catch {
            await loop.run { loop.shutdown() }
            throw error
        }
    }

    private final class Handler: ConnectionHandler {
        private let server: ScriptedHTTPServer
        private let script: Script
        private var text = ""

        init(server: ScriptedHTTPServer, script: @escaping Script) {
            self.server = server
            self.script = script
        }

        func connection(_ connection: Connection, received bytes: RawSpan) {
            for i in 0..<bytes.byteCount { text.unicodeScalars.append(Unicode.Scalar(bytes.unsafeLoad(fromByteOffset: i, as: UInt8.self))) }
            // A head and nothing else: bodies of the tests' requests come in the same segment, and are thrown away with it.
            guard let end = text.unicodeScalars.firstRange(of: "\r\n\r\n".unicodeScalars) else { return }
            let head = String(text.unicodeScalars[..<end.lowerBound])
            text = ""
            let number = server.state.withLock {
                $0.heads.append(head)
                return $0.heads.count
            }
            switch script(number, head) {
            case .say(let words): connection.write(words)
            case .sayAndClose(let words):
                connection.write(words)
                connection.close()
            case .abort: connection.abort()
            case .silence: break
            }
        }

        func connectionReachedEnd(_ connection: Connection) { connection.close() }
        func connectionDrained(_ connection: Connection) {}
        func connectionTimedOut(_ connection: Connection) { connection.abort() }
        func connectionClosed(_ connection: Connection, error: SocketError?) {}
    }
}
