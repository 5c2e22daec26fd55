// One libcurl handle with an HTTP request in it, and what it hears.

import CCurl
import Glibc

/// An easy handle from the request's options to the answer's last byte.
// @unchecked: touched only on the loop of its `CurlDriver`; libcurl calls back only from within calls made there.
final class CurlHTTPEasy: CurlDriven, @unchecked Sendable {
    /// Bytes of all of an answer's fields.
    static let maximumHead = 64 * 1024
    /// libcurl looks at a kept connection before it uses it; one that has rested for longer than this is not looked at but closed. Shorter
    /// than servers keep one, so that few requests meet a server that is just closing.
    static let longestRest = 30

    let handle: UnsafeMutableRawPointer
    private let errorBuffer: UnsafeMutablePointer<CChar>
    private var fieldList: UnsafeMutablePointer<curl_slist>?
    private let maximumAnswer: Int
    private let mayRepeat: Bool
    private var headLength = 0
    /// How often libcurl was about to send the request.
    private var sendings = 0
    private(set) var isTooLarge = false
    private var status = 0
    private var fields: [CurlHTTPRequest.Field] = []
    private var body: [UInt8] = []

    var finished: ((CURLcode) -> Void)?

    /// Nil when libcurl has no memory, or refuses an option.
    init?(_ request: CurlHTTPRequest, closeSocket: curl_closesocket_callback, closeSocketContext: UnsafeMutableRawPointer) {
        guard let handle = curl_easy_init() else { return nil }
        self.handle = handle
        maximumAnswer = request.maximumAnswer
        mayRepeat = request.method == "GET" || request.method == "HEAD"
        errorBuffer = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        guard configure(request), setMethod(request), setFields(request), setCallbacks(closeSocket, closeSocketContext) else { return nil }
    }

    deinit {
        curl_easy_cleanup(handle)
        curl_slist_free_all(fieldList)
        errorBuffer.deallocate()
    }

    private func configure(_ request: CurlHTTPRequest) -> Bool {
        let texts: [(CURLoption, String?)] = [
            (CURLOPT_URL, request.url),
            (CURLOPT_UNIX_SOCKET_PATH, request.unixSocket),
            (CURLOPT_PROTOCOLS_STR, "http,https"),
            (CURLOPT_CAINFO, request.certificateFile),
            // The environment's proxies are for other programs.
            (CURLOPT_PROXY, ""),
            (CURLOPT_NOPROXY, "*"),
        ]
        let numbers: [(CURLoption, Int)] = [
            (CURLOPT_NOSIGNAL, 1),
            (CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue)),
            (CURLOPT_TCP_KEEPALIVE, 1),
            // One request a connection at a time: what a lost connection means for a request stays simple.
            (CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1)),
            (CURLOPT_CONNECTTIMEOUT_MS, max(1, CurlEasy.milliseconds(request.connectTimeout))),
            (CURLOPT_MAXAGE_CONN, Self.longestRest),
            // Without it, giving up waits for the name server in a blocking join.
            (CURLOPT_QUICK_EXIT, 1),
        ]
        return texts.allSatisfy { option, text in text.map { ccurl_set_string(handle, option, $0) == CURLE_OK } ?? true }
            && numbers.allSatisfy { ccurl_set_long(handle, $0, $1) == CURLE_OK }
            && ccurl_set_string(handle, CURLOPT_ERRORBUFFER, errorBuffer) == CURLE_OK
    }

    private func setMethod(_ request: CurlHTTPRequest) -> Bool {
        if request.method == "HEAD" { return ccurl_set_long(handle, CURLOPT_NOBODY, 1) == CURLE_OK }
        if let body = request.body {
            // libcurl copies the bytes; the size comes first, or it would look for their end.
            let isSet = body.withUnsafeBytes { bytes in
                let start = bytes.assumingMemoryBound(to: CChar.self).baseAddress ?? UnsafePointer(errorBuffer)
                return ccurl_set_long(handle, CURLOPT_POSTFIELDSIZE, bytes.count) == CURLE_OK
                    && ccurl_set_string(handle, CURLOPT_COPYPOSTFIELDS, start) == CURLE_OK
            }
            guard isSet else { return false }
        }
        // A POST without a body is said by its name alone, as curl -X does: no Content-Length, no body.
        return request.method == "GET" || (request.method == "POST" && request.body != nil)
            || ccurl_set_string(handle, CURLOPT_CUSTOMREQUEST, request.method) == CURLE_OK
    }

    private func setFields(_ request: CurlHTTPRequest) -> Bool {
        // libcurl's own inventions: the type of a form, and waiting for leave to send a body.
        var lines = ["Expect:"]
        if !request.fields.contains(where: { $0.name.lowercased() == "content-type" }) { lines.append("Content-Type:") }
        lines += request.fields.map { "\($0.name): \($0.value)" }
        for line in lines {
            guard let longer = curl_slist_append(fieldList, line) else { return false }
            fieldList = longer
        }
        return ccurl_set_list(handle, CURLOPT_HTTPHEADER, fieldList) == CURLE_OK
    }

    private func setCallbacks(_ closeSocket: curl_closesocket_callback, _ closeSocketContext: UnsafeMutableRawPointer) -> Bool {
        // Unretained: libcurl calls these only while the handle is being driven, and whoever drives it holds this object.
        let context = Unmanaged.passUnretained(self).toOpaque()
        let head: curl_write_callback = { bytes, size, count, context in
            guard let context, let bytes else { return 0 }
            let easy = Unmanaged<CurlHTTPEasy>.fromOpaque(context).takeUnretainedValue()
            return easy.heard(head: UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
        }
        let body: curl_write_callback = { bytes, size, count, context in
            guard let context, let bytes else { return 0 }
            let easy = Unmanaged<CurlHTTPEasy>.fromOpaque(context).takeUnretainedValue()
            return easy.heard(body: UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
        }
        let sending: curl_prereq_callback = { context, _, _, _, _ in
            guard let context else { return CURL_PREREQFUNC_ABORT }
            return Unmanaged<CurlHTTPEasy>.fromOpaque(context).takeUnretainedValue().maySend() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
        }
        let open: curl_opensocket_callback = { _, _, address in
            guard let address else { return CURL_SOCKET_BAD }
            return Glibc.socket(address.pointee.family, address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), address.pointee.`protocol`)
        }
        return ccurl_set_header(handle, head, context) == CURLE_OK
            && ccurl_set_write(handle, body, context) == CURLE_OK
            && ccurl_set_before_request(handle, sending, context) == CURLE_OK
            && ccurl_set_open_socket(handle, open, nil) == CURLE_OK
            && ccurl_set_close_socket(handle, closeSocket, closeSocketContext) == CURLE_OK
    }

    // MARK: Called by libcurl

    /// libcurl sends a request again by itself when a kept connection turns out to be closed. The server may have carried it out before it
    /// closed: only what changes nothing may go twice (RFC 9110, section 9.2.2).
    private func maySend() -> Bool {
        sendings += 1
        return sendings == 1 || mayRepeat
    }

    private func heard(head line: UnsafeRawBufferPointer) -> Bool {
        headLength += line.count
        guard headLength <= Self.maximumHead else {
            isTooLarge = true
            return false
        }
        var text = String(decoding: line, as: UTF8.self)
        while let last = text.last, last.isNewline { text.removeLast() }
        if text.hasPrefix("HTTP/") {
            // A 1xx came before: the last status line is the answer's.
            status = Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0
            fields = []
        } else if let colon = text.firstIndex(of: ":") {
            let value = text[text.index(after: colon)...]
            let trimmed = value.drop { $0 == " " || $0 == "\t" }
            fields.append(.init(text[..<colon].lowercased(), String(trimmed)))
        }
        return true
    }

    private func heard(body bytes: UnsafeRawBufferPointer) -> Bool {
        guard body.count + bytes.count <= maximumAnswer else {
            isTooLarge = true
            return false
        }
        body.append(contentsOf: bytes)
        return true
    }

    // MARK: The answer

    func willBeRemoved() { finished = nil }

    /// What has come, with the reason why there is no more of it.
    func answer(_ ending: CurlHTTPAnswer.Ending, _ code: CURLcode = CURLE_OK) -> CurlHTTPAnswer {
        var answer = CurlHTTPAnswer(ending: ending)
        answer.status = status
        answer.fields = fields
        answer.body = body
        answer.connected = sendings > 0
        var connections = 0
        if ccurl_get_long(handle, CURLINFO_NUM_CONNECTS, &connections) == CURLE_OK { answer.reusedConnection = sendings > 0 && connections == 0 }
        var systemError = 0
        if ccurl_get_long(handle, CURLINFO_OS_ERRNO, &systemError) == CURLE_OK { answer.systemError = Int32(truncatingIfNeeded: systemError) }
        answer.code = Int(code.rawValue)
        if code != CURLE_OK {
            let own = String(cString: errorBuffer)
            answer.errorText = own.isEmpty ? String(cString: curl_easy_strerror(code)) : own
        }
        return answer
    }

    /// What libcurl's result means.
    func ending(for code: CURLcode) -> CurlHTTPAnswer.Ending {
        if isTooLarge { return .tooLarge }
        switch code {
        case CURLE_OK: return .answered
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT: return .notConnected
        case CURLE_OPERATION_TIMEDOUT: return .timedOut
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
            CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS:
            return .notTrusted
        case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING: return .malformed
        case CURLE_OUT_OF_MEMORY: return .noResources("libcurl has no memory")
        // What else ends a transfer ends its connection.
        default: return sendings > 0 ? .lost : .notConnected
        }
    }
}
