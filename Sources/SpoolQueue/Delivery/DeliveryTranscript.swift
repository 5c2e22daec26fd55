// From what a server said to what became of each recipient.

import CurlTransport
import Glibc

/// Judges a transfer. Pure: the result in, one outcome for each recipient out.
///
/// Only a reply decides: 2xx to the final dot delivers, 5xx bounces, and all else, whatever went wrong, leaves the recipient pending.
struct DeliveryTranscript {
    /// A reason's length; what a log line, a report and the API have room for.
    static let maximumReasonLength = 500

    private let result: CurlResult
    private let host: String
    private let port: UInt16

    init(_ result: CurlResult, host: String, port: UInt16) {
        self.result = result
        self.host = host
        self.port = port
    }

    /// A greeting and an answer to EHLO came: the site is up, even if it refused. Our own trouble speaks not against it either.
    var siteReached: Bool {
        switch result.ending {
        case .invalid, .noResources, .uploadFailed: return true
        case .completed, .notOpened, .lost, .timedOut, .malformedReply, .cancelled: break
        }
        if result.reusedConnection { return true }
        let greeted = result.exchanges.contains { $0.step == .greeting && $0.code / 100 == 2 }
        return greeted && result.exchanges.contains { $0.step == .hello }
    }

    func outcomes(recipients count: Int) -> [RecipientOutcome] {
        let shared = sharedOutcome
        var own = [CurlExchange?](repeating: nil, count: count)
        for exchange in result.exchanges {
            if case .recipient(let index) = exchange.step, own.indices.contains(index) { own[index] = exchange }
        }
        guard exchange(.mail)?.code.isSuccess == true else { return Array(repeating: shared, count: count) }
        return own.map { exchange in
            guard let exchange else { return interrupted }
            return exchange.code.isSuccess ? shared : refusal(exchange, inReplyTo: "RCPT TO")
        }
    }

    /// Why not everybody was delivered to; nil when nothing stopped the transfer as a whole.
    var reason: String? {
        switch sharedOutcome {
        case .delivered: nil
        case .deferred(let text), .bounced(let text): text
        }
    }

    // MARK: The parts of a dialogue

    private func exchange(_ step: CurlExchange.Step) -> CurlExchange? { result.exchanges.last { $0.step == step } }

    /// The outcome of those recipients that the server has not refused.
    private var sharedOutcome: RecipientOutcome {
        if let reply = exchange(.content) {
            return reply.code.isSuccess ? .delivered(reply: Self.oneLine(Self.text(reply))) : refusal(reply, inReplyTo: "end of DATA")
        }
        if let reply = exchange(.data), reply.code != 354 { return refusal(reply, inReplyTo: "DATA") }
        if let reply = exchange(.mail), !reply.code.isSuccess { return refusal(reply, inReplyTo: "MAIL FROM") }
        if let reply = exchange(.reset), !reply.code.isSuccess { return deferral(said(reply, inReplyTo: "RSET")) }
        return interrupted
    }

    private func refusal(_ reply: CurlExchange, inReplyTo command: String) -> RecipientOutcome {
        let text = said(reply, inReplyTo: command)
        // RFC 5321, section 4.5.3.1.10: at RCPT a 552 means too many recipients, which is for now.
        let isForNow = reply.code == 552 && command == "RCPT TO"
        return reply.code / 100 == 5 && !isForNow ? .bounced(reply: Self.oneLine(text)) : deferral(text)
    }

    /// The outcome of those about whom the server did not come to an answer.
    private var interrupted: RecipientOutcome { deferral(interruption) }

    private func deferral(_ text: String) -> RecipientOutcome { .deferred(reason: Self.oneLine(text)) }

    // MARK: Words

    /// `mail.customer.example[192.0.2.1]:25`
    private var name: String { result.address.map { "\(host)[\($0)]:\(port)" } ?? "\(host):\(port)" }

    private func said(_ reply: CurlExchange, inReplyTo command: String) -> String {
        "host \(name) said: \(Self.text(reply)) (in reply to \(command) command)"
    }

    private var interruption: String {
        switch result.ending {
        case .completed:
            if let last = result.exchanges.last, last.code == 421 { return "host \(name) said: \(Self.text(last))" }
            return "host \(name) gave no answer that decides"
        case .notOpened: return notOpened
        case .lost: return "lost connection with \(name) while \(activity)"
        case .timedOut where !result.connected: return "connect to \(name): Connection timed out"
        case .timedOut: return "conversation with \(name) timed out while \(activity)"
        case .malformedReply: return "host \(name) sent something that is no SMTP reply while \(activity)"
        case .uploadFailed(let detail): return "the queue file could not be read: \(detail)"
        case .invalid(let detail): return "cannot be sent to \(name): \(detail)"
        case .cancelled: return "delivery to \(name) was cancelled while \(activity)"
        case .noResources(let detail): return "delivery to \(name) could not begin: \(detail)"
        }
    }

    private var notOpened: String {
        if result.code == Self.unknownHost { return "Host or domain name not found. Name service error for name=\(host)" }
        guard result.connected else {
            let cause = result.systemError != 0 ? Self.systemText(result.systemError) : result.errorText
            return "connect to \(name): \(cause)"
        }
        if let last = result.exchanges.last, last.code / 100 >= 4 { return "host \(name) refused to talk to me: \(Self.text(last))" }
        return "session with \(name) could not be opened while \(activity): \(result.errorText)"
    }

    private var activity: String {
        switch result.interruptedStep {
        case nil where !result.connected: "connecting"
        case .greeting: "receiving the initial server greeting"
        case .hello: "performing the EHLO handshake"
        case .startTLS: "performing the TLS handshake"
        case .reset: "sending RSET"
        case .mail: "sending MAIL FROM"
        case .recipient: "sending RCPT TO"
        case .data: "sending DATA command"
        case .content: result.finalDotSent ? "sending end of data -- message may be sent more than once" : "sending message body"
        case .quit: "sending QUIT"
        case nil, .other: "opening the session"
        }
    }

    /// CURLE_COULDNT_RESOLVE_HOST
    private static let unknownHost = 6

    private static func text(_ exchange: CurlExchange) -> String { exchange.lines.joined(separator: " ") }

    /// One line without control characters, cut at a character.
    static func oneLine(_ text: String) -> String {
        var kept = String.UnicodeScalarView()
        var length = 0
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value)
            let scalar: Unicode.Scalar = isControl ? "?" : scalar
            length += UTF8.width(scalar)
            guard length <= maximumReasonLength else { break }
            kept.append(scalar)
        }
        return String(kept)
    }

    private static func systemText(_ code: Int32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            guard let start = buffer.baseAddress, strerror_r(code, start, buffer.count) == 0 else { return "error \(code)" }
            return String(cString: start)
        }
    }
}

extension Int {
    /// A positive completion reply (RFC 5321, section 4.2.1).
    fileprivate var isSuccess: Bool { self / 100 == 2 }
}
