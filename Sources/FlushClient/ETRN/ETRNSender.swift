// ETRN as a client says it (RFC 1985): for servers that know nothing else.

import CurlTransport
import DispatchSockets
import FlushCore

/// Whose mail an ETRN asks for.
public struct ETRNNodeName: Sendable, Hashable, CustomStringConvertible {
    public static let maximumLength = 300

    /// As it stands behind the command.
    public let description: String

    /// Reads `domain`, `@domain` (with its subdomains) or `#queue`. Domains become A-labels.
    ///
    /// - Throws: for what is none of these; line ends and spaces never pass.
    public init(parsing text: String) throws(InvalidETRNNodeName) {
        if text.hasPrefix("#") {
            let name = text.utf8.dropFirst()
            guard !name.isEmpty, name.count < Self.maximumLength, name.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw InvalidETRNNodeName(reason: "a queue's name behind the # has printable ASCII characters and no spaces")
            }
            description = text
            return
        }
        let withSubdomains = text.hasPrefix("@")
        do {
            description = (withSubdomains ? "@" : "") + (try DomainName(parsing: withSubdomains ? text.dropFirst() : text[...])).description
        } catch { throw InvalidETRNNodeName(reason: "\(error)") }
    }

    public init(_ domain: DomainName, subdomains: Bool = false) { description = (subdomains ? "@" : "") + domain.description }
}

public struct InvalidETRNNodeName: Error, Equatable, Sendable, CustomStringConvertible {
    public var reason: String
    public var description: String { reason }
}

/// Asks mail servers to send what waits.
public struct ETRNSender: Sendable {
    /// The server and how to talk to it.
    public struct Server: Sendable {
        /// A domain name, an IPv4 address, or an IPv6 address without brackets.
        public var host: String
        public var port: UInt16
        /// Our name in EHLO.
        public var heloName = "localhost"
        public var tls = CurlSMTPRequest.TLS.opportunistic
        public var certificateFile: String?
        public var credentials: CurlSMTPRequest.Credentials?
        public var connectTimeout = Duration.seconds(30)
        /// For each reply. Servers of the old kind go through their whole queue before they answer.
        public var replyTimeout = Duration.seconds(300)
        public var overallTimeout = Duration.seconds(3_600)

        public init(host: String, port: UInt16) {
            self.host = host
            self.port = port
        }
    }

    private let smtp: CurlSMTP

    public init(loop: EventLoop) { smtp = CurlSMTP(loop: loop) }

    /// Ends all sessions. Must be called before the last reference goes.
    public func shutdown() async { await smtp.shutdown() }

    /// Sends an ETRN for each of `nodes` over one connection.
    ///
    /// - Returns: what the server answered to each, refusals included.
    /// - Throws: when not each has an answer; those that came are in the error.
    public func send(_ nodes: [ETRNNodeName], to server: Server) async throws(ETRNSendError) -> [ETRNAnswer] {
        var request = CurlSMTPRequest(host: server.host, port: server.port, heloName: server.heloName, commands: nodes.map { "ETRN \($0)" })
        request.tls = server.tls
        request.certificateFile = server.certificateFile
        request.credentials = server.credentials
        request.connectTimeout = server.connectTimeout
        request.replyTimeout = server.replyTimeout
        request.overallTimeout = server.overallTimeout
        let answer = await smtp.perform(request)
        let answers = zip(nodes, answer.replies).map { ETRNAnswer(node: $0, code: $1.code, lines: $1.lines) }
        guard answer.ending == .completed else { throw ETRNSendError(answer, server: server, answers: answers) }
        return answers
    }
}

/// A server's reply to one ETRN.
public struct ETRNAnswer: Sendable, Equatable {
    /// RFC 1985, section 5.3.
    public enum Meaning: Sendable, Equatable {
        /// 250 or 252: the queue is being worked on; how much there is is not said.
        case started
        /// 251.
        case nothingWaiting
        /// 253, with the number of messages where it can be read.
        case startedMessages(Int?)
        /// 458: asking again later may work.
        case unable
        /// 459.
        case refused
        /// 500, 501, 502 or 504: this server has no ETRN, or none like this.
        case notUnderstood
        /// 530, 535, 538: it wants to know who asks.
        case authenticationRequired
        /// Anything else.
        case other
    }

    public var node: ETRNNodeName
    public var code: Int
    /// The reply as it came, with its codes.
    public var lines: [String]

    public init(node: ETRNNodeName, code: Int, lines: [String]) {
        self.node = node
        self.code = code
        self.lines = lines
    }

    public var meaning: Meaning {
        switch code {
        case 250, 252: .started
        case 251: .nothingWaiting
        case 253: .startedMessages(messages)
        case 458: .unable
        case 459: .refused
        case 500, 501, 502, 504: .notUnderstood
        case 530, 535, 538: .authenticationRequired
        default: .other
        }
    }

    /// `253 OK, <n> pending messages for node <x> started`: the first word that is a number, so that an enhanced code is none.
    private var messages: Int? {
        lines.last?.dropFirst(4).split(separator: " ").lazy.compactMap { Int($0) }.first { $0 >= 0 }
    }

    /// The reply without its codes, lines joined.
    public var text: String { lines.map { String($0.dropFirst(4)) }.joined(separator: " ") }
}

/// Why an ETRN has no reply.
public struct ETRNSendError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// The server cannot be reached, or turned us away before the first ETRN.
        case unreachable
        /// It broke off, fell silent, or said something that is no SMTP.
        case broken
        /// TLS or the credentials.
        case notPermitted
        /// It cannot be asked like this.
        case invalid
    }

    public var kind: Kind
    public var description: String
    /// The replies that came.
    public var answers: [ETRNAnswer]

    init(_ answer: CurlSMTPAnswer, server: ETRNSender.Server, answers: [ETRNAnswer]) {
        self.answers = answers
        let name = server.host.contains(":") ? "[\(server.host)]:\(server.port)" : "\(server.host):\(server.port)"
        let said = answer.openingReply.map { "; it said: \($0.lines.last ?? String($0.code))" } ?? ""
        let reason = answer.errorText.isEmpty ? "" : ": \(answer.errorText)"
        switch answer.ending {
        case .completed, .lost:
            kind = .broken
            description = "\(name) closed the connection before it had answered\(answers.isEmpty ? said : "")"
        case .notOpened:
            kind = .unreachable
            description = answer.connected ? "\(name) opened no session\(reason)\(said)" : "\(name) cannot be reached\(reason)"
        case .notEncrypted:
            kind = .notPermitted
            description = "\(name): no encryption that can be trusted\(reason)"
        case .notAuthenticated:
            kind = .notPermitted
            description = "\(name) does not take the credentials\(reason)\(said)"
        case .timedOut:
            kind = answer.connected ? .broken : .unreachable
            description = "\(name) did not answer in time"
        case .malformedReply:
            kind = .broken
            description = "\(name) said something that is no SMTP reply"
        case .invalid(let why):
            kind = .invalid
            description = "this cannot be asked over SMTP: \(why)"
        case .cancelled:
            kind = .broken
            description = "the request was cancelled"
        case .noResources(let why):
            kind = .unreachable
            description = why
        }
    }
}
