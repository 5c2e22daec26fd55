// A mail server that says what a test wants, over real sockets on loopback.

import DispatchSockets
import Synchronization

/// What the server does in answer to a command.
public enum Reaction: Sendable {
    case say(String)
    /// Says it and closes; an empty text closes only.
    case sayAndClose(String)
    /// Resets the connection.
    case abort
    /// Never answers.
    case silence
    /// Says it and reads nothing more.
    case sayAndStopReading(String)
}

/// Everything the server saw, for a test to look at.
public struct Witness: Sendable {
    public var connections = 0
    /// All commands of all connections, in order, without line ends.
    public var commands: [String] = []
    /// Every message whose final dot came, as it was before dots were doubled.
    public var messages: [[UInt8]] = []
    /// Connections that the client closed or that ended otherwise.
    public var closed = 0
}

/// An SMTP server on a loop of its own, with an answer to everything.
// @unchecked: the listener is touched only on `loop`; `witness` is locked.
public final class ScriptedMailServer: @unchecked Sendable {
    /// The answer to a command of the n-th connection; nil for the usual one. `GREETING` and `CONTENT` stand for those moments.
    public typealias Script = @Sendable (_ connection: Int, _ command: String) -> Reaction?

    public static let usualHello = "250-scripted.example\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n250 HELP"

    public let port: UInt16
    private let loop: EventLoop
    private let listener: Listener
    private let witness = Mutex(Witness())

    private init(loop: EventLoop, listener: Listener, port: UInt16) {
        self.loop = loop
        self.listener = listener
        self.port = port
    }

    /// Runs `body` with a server, and ends the server.
    public static func run<Result: Sendable>(
        _ script: @escaping Script = { _, _ in nil }, _ body: (ScriptedMailServer) async throws -> Result
    ) async throws -> Result {
        let loop = try EventLoop(label: "scripted-mail-server")
        let box = Mutex<ScriptedMailServer?>(nil)
        let server: ScriptedMailServer = try await loop.run {
            let address = try SocketAddress(parsing: "127.0.0.1:0")
            let listener = try loop.listen(at: address) { connection in
                guard let server = box.withLock({ $0 }) else { return connection.abort() }
                let number = server.note {
                    $0.connections += 1; return $0.connections
                }
                let handler = ScriptedSession(server: server, number: number, script: script)
                connection.handler = handler
                handler.react("GREETING", usual: "220 scripted.example ESMTP", on: connection)
            }
            let server = ScriptedMailServer(loop: loop, listener: listener, port: listener.address.port ?? 0)
            box.withLock { $0 = server }
            return server
        }
        let result: Result
        do {
            result = try await body(server)
        } catch {
            await loop.run { loop.shutdown() }
            throw error
        }
        await loop.run { loop.shutdown() }
        return result
    }

    public var seen: Witness { witness.withLock { $0 } }

    fileprivate func note<Result: Sendable>(_ change: (inout Witness) -> Result) -> Result { witness.withLock { change(&$0) } }

    /// Waits, at most half a minute, until what the server saw is so.
    public func sees(_ condition: (Witness) -> Bool) async -> Bool {
        let end = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < end {
            if condition(seen) { return true }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return condition(seen)
    }
}

/// One connection.
private final class ScriptedSession: ConnectionHandler {
    private let server: ScriptedMailServer
    private let number: Int
    private let script: ScriptedMailServer.Script
    private var line: [UInt8] = []
    private var message: [UInt8] = []
    private var isInContent = false

    init(server: ScriptedMailServer, number: Int, script: @escaping ScriptedMailServer.Script) {
        self.server = server
        self.number = number
        self.script = script
    }

    func react(_ command: String, usual: String, on connection: Connection) {
        switch script(number, command) ?? .say(usual) {
        case .say(let text):
            connection.write(text + "\r\n")
            if command == "DATA", text.hasPrefix("354") { isInContent = true }
        case .sayAndClose(let text):
            if !text.isEmpty { connection.write(text + "\r\n") }
            connection.close()
        case .sayAndStopReading(let text):
            connection.write(text + "\r\n")
            connection.pauseReading()
        case .abort: connection.abort()
        case .silence: if command == "DATA" { isInContent = true }
        }
    }

    func connection(_ connection: Connection, received bytes: RawSpan) {
        for i in 0..<bytes.byteCount {
            let byte = bytes.unsafeLoad(fromByteOffset: i, as: UInt8.self)
            line.append(byte)
            guard byte == UInt8(ascii: "\n"), line.dropLast().last == UInt8(ascii: "\r") else { continue }
            let whole = line
            line.removeAll(keepingCapacity: true)
            isInContent ? content(whole, on: connection) : command(whole, on: connection)
            if connection.isClosing { return }
        }
    }

    private func content(_ line: [UInt8], on connection: Connection) {
        guard line == Array(".\r\n".utf8) else {
            message += line.first == UInt8(ascii: ".") ? line.dropFirst() : line[...]
            if script(number, "CONTENT LINE") != nil { react("CONTENT LINE", usual: "", on: connection) }
            return
        }
        isInContent = false
        let whole = message
        message = []
        server.note { $0.messages.append(whole) }
        react("CONTENT", usual: "250 2.0.0 queued", on: connection)
    }

    private func command(_ line: [UInt8], on connection: Connection) {
        let text = String(decoding: line.dropLast(2), as: UTF8.self)
        server.note { $0.commands.append(text) }
        switch text.prefix(4).uppercased() {
        case "EHLO": react(text, usual: ScriptedMailServer.usualHello, on: connection)
        case "DATA": react(text, usual: "354 go ahead", on: connection)
        case "QUIT":
            react(text, usual: "221 bye", on: connection)
            connection.close()
        default: react(text, usual: "250 2.1.0 ok", on: connection)
        }
    }

    func connectionReachedEnd(_ connection: Connection) { connection.close() }
    func connectionDrained(_ connection: Connection) {}
    func connectionTimedOut(_ connection: Connection) { connection.abort() }
    func connectionClosed(_ connection: Connection, error: SocketError?) { server.note { $0.closed += 1 } }
}
