// One session with a mail server that is told a few commands.

import CCurl
import DispatchSockets

// @unchecked: touched only on `loop`.
final class CommandSession: @unchecked Sendable {
    private let request: CurlSMTPRequest
    private let loop: EventLoop
    private var driver: CurlDriver?
    private var easy: CurlEasy?
    /// Set once the session is open.
    private(set) var socket: CInt?
    private var watch: Watch?
    private var overallTimer: LoopTimer?
    private var stepTimer: LoopTimer?
    private var lastProgress = ContinuousClock.now
    private var reader = ReplyReader()
    private let wire = WireBuffer()
    private var replies: [CurlSMTPAnswer.Reply] = []
    private var completion: ((CurlSMTPAnswer) -> Void)?
    private(set) var hasEnded = false

    init(_ request: CurlSMTPRequest, loop: EventLoop) {
        self.request = request
        self.loop = loop
    }

    // MARK: Opening

    func start(with driver: CurlDriver, _ completion: @escaping (CurlSMTPAnswer) -> Void) {
        self.driver = driver
        self.completion = completion
        overallTimer = loop.schedule(after: request.overallTimeout) { [self] in end(.timedOut) }
        guard let easy = driver.makeEasy(for: CurlOpening(request)) else {
            return end(.noResources("libcurl has no memory, or lacks an option"))
        }
        self.easy = easy
        easy.finished = { [self] code in opened(code) }
        easy.progressed = { [self, unowned easy] in
            lastProgress = .now
            // Called from within libcurl, which would wait for a better reply.
            if easy.repliesAreMalformed { loop.execute { [self] in end(.malformedReply) } }
        }
        guard driver.start(easy) else { return end(.noResources("libcurl does not take another session")) }
        watchOpening(after: request.connectTimeout)
    }

    /// Two limits, one timer: for the connection, then for each reply.
    private func watchOpening(after delay: Duration) {
        stepTimer = loop.schedule(after: delay) { [self] in
            guard let easy, easy.isConnected else { return end(.timedOut) }
            let left = lastProgress + request.replyTimeout - ContinuousClock.now
            guard left > .zero else { return end(.timedOut) }
            watchOpening(after: left)
        }
    }

    private func opened(_ code: CURLcode) {
        guard let easy, let driver, !hasEnded, socket == nil else { return }
        if easy.repliesAreMalformed { return end(.malformedReply) }
        switch code {
        case CURLE_OK: break
        case CURLE_USE_SSL_FAILED, CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE:
            return end(.notEncrypted, code)
        case CURLE_LOGIN_DENIED: return end(.notAuthenticated, code)
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_GOT_NOTHING: return end(easy.isConnected ? .lost : .notOpened, code)
        default: return end(.notOpened, code)
        }
        // libcurl goes on without a word when the server offers no way to say the credentials.
        if request.credentials != nil, !easy.exchanges.contains(where: { $0.code == 235 }) { return end(.notAuthenticated) }
        easy.openingEnded()
        stepTimer?.cancel()
        // The first call ties the connection to the handle; there is nothing to be received yet.
        guard let socket = easy.socket, easy.receive(into: driver.scratch) == .wouldBlock else { return end(.lost) }
        self.socket = socket
        do throws(SocketError) {
            watch = try loop.watch(socket, for: .read) { [self] found in
                if found.contains(.read) { receive() }
                if !hasEnded, found.contains(.write) { pump() }
            }
        } catch {
            return end(.noResources("\(error)"))
        }
        sendNext()
    }

    // MARK: The dialogue

    private func sendNext() {
        guard replies.count < request.commands.count else { return end(.completed) }
        _ = wire.fill(from: Array((request.commands[replies.count] + "\r\n").utf8)[...])
        stepTimer?.cancel()
        stepTimer = loop.schedule(after: request.replyTimeout) { [self] in end(.timedOut) }
        pump()
    }

    private func pump() {
        while !hasEnded, !wire.isEmpty, let easy {
            switch wire.withContents({ easy.send($0) }) {
            case .wouldBlock:
                watch?.change(to: [.read, .write])
                return
            case .failed: return end(.lost)
            case .bytes(let count): wire.consume(count)
            }
        }
        watch?.change(to: .read)
    }

    private func receive() {
        // Until it would block: what OpenSSL holds decrypted makes no event. Bounded, because a reply is.
        while !hasEnded, let easy, let driver {
            switch easy.receive(into: driver.scratch) {
            case .wouldBlock: return
            case .failed, .bytes(0): return end(.lost)
            case .bytes(let count): understand(UnsafeRawBufferPointer(rebasing: driver.scratch[..<count]))
            }
        }
    }

    private func understand(_ bytes: UnsafeRawBufferPointer) {
        var found: ReplyReader.Reply?
        do throws(ReplyReader.Malformed) {
            for byte in bytes {
                // A reply to a command that is not out yet: whose answer is the next one?
                guard found == nil else { throw ReplyReader.Malformed() }
                found = try reader.take(byte)
            }
        } catch { return end(.malformedReply) }
        guard let found else { return }
        replies.append(.init(code: found.code, lines: found.lines))
        // RFC 5321, section 3.8: the server is closing; nothing more will be answered.
        if found.code == 421, replies.count < request.commands.count { return end(.lost) }
        sendNext()
    }

    // MARK: The end

    /// The socket is being closed: its number is not ours any more.
    func stopWatching() {
        watch?.cancel()
        watch = nil
        socket = nil
    }

    func end(_ ending: CurlSMTPAnswer.Ending, _ code: CURLcode = CURLE_OK) {
        guard !hasEnded else { return }
        hasEnded = true
        var answer = CurlSMTPAnswer(ending: ending)
        answer.replies = replies
        if let easy {
            answer.openingReply = easy.exchanges.last.map { .init(code: $0.code, lines: $0.lines) }
            answer.connected = easy.isConnected
            answer.isEncrypted = easy.exchanges.contains { $0.step == .startTLS && $0.code == 220 }
            if code != CURLE_OK { answer.errorText = easy.errorText.isEmpty ? String(cString: curl_easy_strerror(code)) : easy.errorText }
            if ending == .completed {
                // Said, but its answer not waited for.
                _ = wire.fill(from: Array("QUIT\r\n".utf8)[...])
                _ = wire.withContents { easy.send($0) }
            }
            watch?.cancel()
            driver?.remove(easy)
        }
        watch = nil
        easy = nil
        socket = nil
        overallTimer?.cancel()
        stepTimer?.cancel()
        let completion = completion
        self.completion = nil
        completion?(answer)
    }
}
