// One libcurl handle: a connection to a mail server that libcurl resolves, connects, greets and, if offered, encrypts.

import CCurl
import Glibc

/// An easy handle in CONNECT_ONLY mode. libcurl opens the session (look-up, connection, EHLO, STARTTLS); what follows is sent and
/// received through it by us.
///
/// libcurl's own mail upload is not used: it waits for the answer to the final dot and to QUIT in a blocking loop, on the caller's
/// thread, and ends a cancelled upload with a final dot, so that the server takes half a message for a whole one (7.88.1, measured).
// @unchecked: touched only on the loop of its `CurlDriver`; libcurl calls back only from within calls made there.
final class CurlEasy: CurlDriven, @unchecked Sendable {
    enum Transferred: Equatable {
        case bytes(Int)
        case wouldBlock
        case failed(CURLcode)
    }

    let handle: UnsafeMutableRawPointer
    private let errorBuffer: UnsafeMutablePointer<CChar>
    /// What libcurl said and heard while it opened the session.
    private(set) var exchanges: [CurlExchange] = []
    /// The step whose reply is awaited.
    private(set) var step = CurlExchange.Step.greeting
    private(set) var repliesAreMalformed = false
    /// The last address tried, as digits.
    private(set) var triedAddress: String?
    private var reader = ReplyReader()

    /// Called when libcurl is done with opening.
    var finished: ((CURLcode) -> Void)?
    /// Called, from within libcurl, whenever a line went or came.
    var progressed: (() -> Void)?

    /// Nil when libcurl has no memory, or refuses an option.
    init?(_ opening: CurlOpening, closeSocket: curl_closesocket_callback, closeSocketContext: UnsafeMutableRawPointer) {
        guard let handle = curl_easy_init() else { return nil }
        self.handle = handle
        errorBuffer = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        guard configure(opening), setCallbacks(closeSocket, closeSocketContext) else { return nil }
    }

    deinit {
        curl_easy_cleanup(handle)
        errorBuffer.deallocate()
    }

    private func configure(_ opening: CurlOpening) -> Bool {
        let host = opening.host.contains(":") ? "[\(opening.host)]" : opening.host
        let patience = Self.milliseconds(opening.overallTimeout)
        let texts: [(CURLoption, String)] = [
            (CURLOPT_URL, "smtp://\(host):\(opening.port)/\(opening.heloName)"),
            (CURLOPT_PROTOCOLS_STR, "smtp"),
            // The environment's proxies are for other programs.
            (CURLOPT_PROXY, ""),
            (CURLOPT_NOPROXY, "*"),
        ]
        let numbers: [(CURLoption, Int)] = [
            (CURLOPT_CONNECT_ONLY, 1),
            (CURLOPT_NOSIGNAL, 1),
            (CURLOPT_VERBOSE, 1),
            (CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue)),
            (CURLOPT_TCP_KEEPALIVE, 1),
            (CURLOPT_USE_SSL, Int(opening.encryption.rawValue)),
            (CURLOPT_SSL_VERIFYPEER, opening.verifiesCertificate ? 1 : 0),
            (CURLOPT_SSL_VERIFYHOST, opening.verifiesCertificate ? 2 : 0),
            // Our own timers are finer; these are only so that libcurl's shorter defaults do not come first.
            (CURLOPT_CONNECTTIMEOUT_MS, patience),
            (CURLOPT_SERVER_RESPONSE_TIMEOUT, patience / 1000 + 1),
            // libcurl takes the connection for an idle one of its cache, and must not close it for its age.
            (CURLOPT_MAXAGE_CONN, patience / 1000 + 1),
            // Without it, giving up waits for the name server in a blocking join.
            (CURLOPT_QUICK_EXIT, 1),
        ]
        let choices: [(CURLoption, String?)] = [
            (CURLOPT_INTERFACE, opening.interface),
            (CURLOPT_CAINFO, opening.certificateFile),
            (CURLOPT_USERNAME, opening.user),
            (CURLOPT_PASSWORD, opening.password),
        ]
        return texts.allSatisfy { ccurl_set_string(handle, $0, $1) == CURLE_OK }
            && choices.allSatisfy { option, text in text.map { ccurl_set_string(handle, option, $0) == CURLE_OK } ?? true }
            && numbers.allSatisfy { ccurl_set_long(handle, $0, $1) == CURLE_OK }
            && ccurl_set_string(handle, CURLOPT_ERRORBUFFER, errorBuffer) == CURLE_OK
    }

    private func setCallbacks(_ closeSocket: curl_closesocket_callback, _ closeSocketContext: UnsafeMutableRawPointer) -> Bool {
        // Unretained: libcurl calls these only while the handle is being driven, and whoever drives it holds this object.
        let context = Unmanaged.passUnretained(self).toOpaque()
        let heard: curl_debug_callback = { _, kind, bytes, count, context in
            guard let context, let bytes else { return 0 }
            let easy = Unmanaged<CurlEasy>.fromOpaque(context).takeUnretainedValue()
            let line = UnsafeRawBufferPointer(start: bytes, count: count)
            switch kind {
            case CURLINFO_HEADER_OUT: easy.said(line)
            case CURLINFO_HEADER_IN: easy.heard(line)
            default: break
            }
            return 0
        }
        let open: curl_opensocket_callback = { context, _, address in
            guard let context, let address else { return CURL_SOCKET_BAD }
            Unmanaged<CurlEasy>.fromOpaque(context).takeUnretainedValue().tries(address)
            return Glibc.socket(address.pointee.family, address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), address.pointee.`protocol`)
        }
        return ccurl_set_debug(handle, heard, context) == CURLE_OK
            && ccurl_set_open_socket(handle, open, context) == CURLE_OK
            && ccurl_set_close_socket(handle, closeSocket, closeSocketContext) == CURLE_OK
    }

    // MARK: While libcurl opens the session

    private func said(_ line: UnsafeRawBufferPointer) {
        switch String(decoding: line.prefix(8), as: UTF8.self).uppercased().prefix(while: { $0.isLetter }) {
        case "EHLO", "HELO": step = .hello
        case "STARTTLS": step = .startTLS
        case "QUIT": step = .quit
        default: step = .other
        }
        progressed?()
    }

    private func heard(_ line: UnsafeRawBufferPointer) {
        guard !repliesAreMalformed else { return }
        do throws(ReplyReader.Malformed) {
            for byte in line {
                guard let reply = try reader.take(byte) else { continue }
                exchanges.append(CurlExchange(step: step, code: reply.code, lines: reply.lines))
            }
        } catch {
            repliesAreMalformed = true
        }
        progressed?()
    }

    private func tries(_ address: UnsafePointer<curl_sockaddr>) {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
            guard let start = text.baseAddress else { return }
            ccurl_numeric_address(address, start, text.count)
            if start.pointee != 0 { triedAddress = String(cString: start) }
        }
    }

    // MARK: What libcurl knows

    var errorText: String { String(cString: errorBuffer) }

    var systemError: Int32 {
        var value = 0
        return ccurl_get_long(handle, CURLINFO_OS_ERRNO, &value) == CURLE_OK ? Int32(truncatingIfNeeded: value) : 0
    }

    /// Whether a TCP connection stands or stood.
    var isConnected: Bool {
        var microseconds: curl_off_t = 0
        return !exchanges.isEmpty || (ccurl_get_offset(handle, CURLINFO_CONNECT_TIME_T, &microseconds) == CURLE_OK && microseconds > 0)
    }

    var address: String? {
        var text: UnsafePointer<CChar>?
        guard ccurl_get_string(handle, CURLINFO_PRIMARY_IP, &text) == CURLE_OK, let text, text.pointee != 0 else { return triedAddress }
        return String(cString: text)
    }

    /// The open connection's socket.
    var socket: CInt? {
        var value: curl_socket_t = CURL_SOCKET_BAD
        return ccurl_get_socket(handle, CURLINFO_ACTIVESOCKET, &value) == CURLE_OK && value != CURL_SOCKET_BAD ? value : nil
    }

    // MARK: After that

    /// libcurl is silent from now on.
    func openingEnded() {
        finished = nil
        progressed = nil
        _ = ccurl_set_long(handle, CURLOPT_VERBOSE, 0)
    }

    func willBeRemoved() { openingEnded() }

    /// Sends some of `bytes`. After `.wouldBlock` the next call must begin at the same address: OpenSSL insists on it.
    func send(_ bytes: UnsafeRawBufferPointer) -> Transferred {
        var sent = 0
        let code = curl_easy_send(handle, bytes.baseAddress, bytes.count, &sent)
        return code == CURLE_OK ? .bytes(sent) : code == CURLE_AGAIN ? .wouldBlock : .failed(code)
    }

    /// Receives into `buffer`; no bytes mean that the server has closed.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Transferred {
        var received = 0
        let code = curl_easy_recv(handle, buffer.baseAddress, buffer.count, &received)
        return code == CURLE_OK ? .bytes(received) : code == CURLE_AGAIN ? .wouldBlock : .failed(code)
    }

    /// libcurl counts in `int` milliseconds.
    static func milliseconds(_ duration: Duration) -> Int {
        let (seconds, attoseconds) = duration.components
        return Int(min(max(seconds, 0), 1_000_000)) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
    }
}
