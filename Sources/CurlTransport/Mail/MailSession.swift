// An open session with a mail server: carries one message after another over a connection that libcurl made.

import DispatchSockets

/// A session, from the answer to EHLO until its connection is closed.
// @unchecked: touched only on `loop`.
final class MailSession: @unchecked Sendable {
    /// Sessions with the same key are interchangeable.
    struct Key: Hashable {
        var host: String
        var port: UInt16
        var heloName: String
        var tls: CurlTransfer.TLS
        var interface: String?

        init(_ transfer: CurlTransfer) {
            host = transfer.host
            port = transfer.port
            heloName = transfer.heloName
            tls = transfer.tls
            interface = transfer.interface
        }
    }

    /// A message on its way.
    private struct Transaction {
        var transfer: CurlTransfer
        var dialogue: MailDialogue
        var upload: UploadReader
        var stuffer = DotStuffer()
        var isSendingContent = false
        var endIsQueued = false
        var bytesUploaded = 0
        /// How much the server may still say: replies are kept until the end.
        var replyAllowance: Int
        var ended: (CurlResult) -> Void
    }

    /// Bytes of replies in one transaction. Replies to RCPT have some hundred bytes.
    static let replyAllowance = 2 * ReplyReader.maximumReplyLength
    static let replyAllowancePerRecipient = 1_024

    let key: Key
    let socket: CInt
    let address: String?
    let openedAt: ContinuousClock.Instant
    private let loop: EventLoop
    private let driver: CurlDriver
    private let easy: CurlEasy
    private let capabilities: MailCapabilities
    private let openingExchanges: [CurlExchange]
    private var watch: Watch?
    private var timer: LoopTimer?
    private var deadline = ContinuousClock.Instant.now
    private var reader = ReplyReader()
    private let wire = WireBuffer()
    /// What follows `wire`'s contents.
    private var pending: ArraySlice<UInt8> = []
    private var transaction: Transaction?
    private var needsReset = false
    private var messages = 0
    private(set) var isOpen = true
    /// Called when an idle session has come to its end, by the server or by its time limit.
    var idleEnded: (() -> Void)?

    /// Takes over a handle whose session libcurl has opened; nil when its connection is gone already.
    init?(_ easy: CurlEasy, for transfer: CurlTransfer, on loop: EventLoop, driver: CurlDriver) {
        // The first call ties the connection to the handle: before it libcurl takes it for an idle one of its cache. There is nothing
        // to be received: what a server says unasked ends its session.
        guard let socket = easy.socket, easy.receive(into: driver.scratch) == .wouldBlock else { return nil }
        self.easy = easy
        self.socket = socket
        self.loop = loop
        self.driver = driver
        key = Key(transfer)
        address = easy.address
        openingExchanges = easy.exchanges
        capabilities = MailCapabilities(openedBy: easy.exchanges)
        openedAt = loop.now
        do throws(SocketError) {
            watch = try loop.watch(socket, for: .read) { [self] found in ready(found) }
        } catch {
            return nil
        }
    }

    // MARK: One message

    /// Carries a message. `ended` is called once, when nothing of the upload is under way any more.
    func carry(_ transfer: CurlTransfer, ended: @escaping (CurlResult) -> Void) {
        idleEnded = nil
        let upload = UploadReader(transfer.content, loop: loop)
        var dialogue = MailDialogue(transfer, capabilities: capabilities, needsReset: needsReset)
        let action = dialogue.begin()
        transaction = Transaction(
            transfer: transfer, dialogue: dialogue, upload: upload,
            replyAllowance: Self.replyAllowance + Self.replyAllowancePerRecipient * transfer.recipients.count, ended: ended)
        messages += 1
        // The content is not asked for before the server takes it: a transfer that ends earlier can be repeated with the same upload.
        perform(action)
    }

    /// Ends the message under way, without a final dot; its connection is closed.
    func end(_ ending: CurlResult.Ending) {
        finish(ending)
    }

    private func perform(_ action: MailDialogue.Action) {
        switch action {
        case .send(let bytes):
            pending.append(contentsOf: bytes)
            allow(transaction?.transfer.replyTimeout)
            pump()
        case .sendContent:
            transaction?.isSendingContent = true
            transaction?.upload.pieceCame = { [self] in pump() }
            allow(transaction?.transfer.stallTimeout)
            pump()
        case .wait:
            allow(transaction?.transfer.replyTimeout)
        case .finish:
            finish(.completed)
        case .unexpectedReply:
            finish(.malformedReply)
        }
    }

    private func finish(_ ending: CurlResult.Ending) {
        guard let transaction else { return }
        self.transaction = nil
        var result = CurlResult(ending: ending)
        result.interruptedStep = ending == .completed ? nil : transaction.dialogue.currentStep
        result.address = address
        result.connected = true
        result.reusedConnection = messages > 1
        result.exchanges = (messages > 1 ? [] : openingExchanges) + transaction.dialogue.exchanges
        result.bytesUploaded = transaction.bytesUploaded
        result.finalDotSent = transaction.dialogue.contentSent
        needsReset = transaction.dialogue.needsReset
        let isClean = ending == .completed && transaction.dialogue.outstanding.isEmpty && wire.isEmpty && pending.isEmpty && reader.isEmpty
        if !isClean || !transaction.dialogue.sessionIsGood || !transaction.transfer.keepsConnection {
            close(sayingQuit: isClean)
        }
        transaction.upload.stop { transaction.ended(result) }
    }

    // MARK: Between messages

    /// Keeps the session for a while; `idleEnded` is called when that is over.
    func rest(for limit: Duration, idleEnded: @escaping () -> Void) {
        self.idleEnded = idleEnded
        watch?.change(to: .read)
        allow(limit)
    }

    /// Closes the connection. QUIT is said, but its answer not waited for.
    func close(sayingQuit: Bool) {
        guard isOpen else { return }
        isOpen = false
        idleEnded = nil
        timer?.cancel()
        timer = nil
        if sayingQuit {
            _ = wire.fill(from: Array("QUIT\r\n".utf8)[...])
            _ = wire.withContents { easy.send($0) }
        }
        watch?.cancel()
        watch = nil
        driver.remove(easy)
    }

    /// The socket is about to be closed: its number must not be watched any more.
    func stopWatching() {
        watch?.cancel()
        watch = nil
    }

    /// libcurl has closed the socket by itself; `stopWatching` was called before that.
    func connectionIsGone() {
        guard isOpen else { return }
        lost()
    }

    private func lost() {
        if transaction != nil { return finish(.lost) }
        let idleEnded = idleEnded
        close(sayingQuit: false)
        idleEnded?()
    }

    // MARK: Time

    private func allow(_ limit: Duration?) {
        guard isOpen, let limit else { return }
        let due = ContinuousClock.now + limit
        // A timer that comes too early looks again; only one that comes too late has to be replaced.
        if timer != nil, deadline <= due {
            deadline = due
            return
        }
        deadline = due
        timer?.cancel()
        schedule(limit)
    }

    private func schedule(_ delay: Duration) {
        timer = loop.schedule(after: delay) { [self] in
            timer = nil
            let left = deadline - ContinuousClock.now
            if left > .zero { return schedule(left) }
            if transaction != nil { return finish(.timedOut) }
            let idleEnded = idleEnded
            close(sayingQuit: true)
            idleEnded?()
        }
    }

    // MARK: The connection

    private func ready(_ found: Interest) {
        if found.contains(.read) { receive() }
        if isOpen, found.contains(.write) { pump() }
    }

    private func receive() {
        // Until it would block: what OpenSSL holds decrypted makes no event. Bounded, because only so many replies are expected.
        while isOpen {
            switch easy.receive(into: driver.scratch) {
            case .wouldBlock: return
            case .failed: return lost()
            case .bytes(0): return lost()
            case .bytes(let count):
                guard transaction != nil else {
                    // Nobody asked anything: a 421 before the server closes.
                    return lost()
                }
                understand(UnsafeRawBufferPointer(rebasing: driver.scratch[..<count]))
            }
        }
    }

    private func understand(_ bytes: UnsafeRawBufferPointer) {
        transaction?.replyAllowance -= bytes.count
        // Collected first: acting on the last reply ends the transaction, and what follows it must be noticed before that.
        var replies: [ReplyReader.Reply] = []
        var isMalformed = false
        do throws(ReplyReader.Malformed) {
            for byte in bytes { if let reply = try reader.take(byte) { replies.append(reply) } }
        } catch {
            isMalformed = true
        }
        for (i, reply) in replies.enumerated() {
            guard let action = transaction?.dialogue.received(reply) else { return }
            if action == .finish, isMalformed || i < replies.count - 1 {
                // The server talks on: what it will answer to the next message would be misread.
                return finishAndClose()
            }
            perform(action)
        }
        if isMalformed || (transaction?.replyAllowance ?? 0) < 0 { finish(.malformedReply) }
    }

    private func finishAndClose() {
        transaction?.transfer.keepsConnection = false
        finish(.completed)
    }

    /// Hands over as much as the connection takes.
    private func pump() {
        while isOpen, transaction != nil {
            if wire.isEmpty, !refill() { break }
            switch wire.withContents({ easy.send($0) }) {
            case .wouldBlock:
                watch?.change(to: [.read, .write])
                return
            case .failed:
                // The server may have said why before it closed.
                receive()
                if isOpen { lost() }
                return
            case .bytes(let count):
                wire.consume(count)
                if transaction?.isSendingContent == true { allow(transaction?.transfer.stallTimeout) }
            }
        }
        watch?.change(to: .read)
    }

    /// Puts the next bytes into the empty wire buffer. False when there are none at present, or the message is at its end.
    private func refill() -> Bool {
        if pending.isEmpty {
            guard transaction?.isSendingContent == true, encodePiece() else { return false }
        }
        let count = wire.fill(from: pending)
        pending = pending.dropFirst(count)
        return true
    }

    /// Encodes the next piece of the content into `pending`. False when none is ready, or all has been sent.
    private func encodePiece() -> Bool {
        guard var current = transaction else { return false }
        if current.endIsQueued {
            // The dot is out: from now on it is the server's word that counts.
            current.isSendingContent = false
            current.dialogue.contentWasSent()
            transaction = current
            allow(current.transfer.contentReplyTimeout)
            return false
        }
        guard let piece = current.upload.take() else {
            // It waits for our own disk, which has the stall's time too.
            return false
        }
        var encoded: [UInt8] = []
        switch piece {
        case .bytes(let bytes):
            current.bytesUploaded += bytes.count
            guard current.bytesUploaded <= current.transfer.size else {
                transaction = current
                finish(.uploadFailed("the content is longer than its \(current.transfer.size) bytes"))
                return false
            }
            current.stuffer.encode(bytes, into: &encoded)
        case .end:
            guard current.bytesUploaded == current.transfer.size else {
                finish(.uploadFailed("the content ended after \(current.bytesUploaded) of \(current.transfer.size) bytes"))
                return false
            }
            current.stuffer.finish(into: &encoded)
            current.endIsQueued = true
        case .failed(let reason):
            finish(.uploadFailed(reason))
            return false
        }
        transaction = current
        pending = encoded[...]
        return true
    }
}
