// etrnctl flush: the one thing that this is all about.

import ArgumentParser
import CommandText
import CurlTransport
import DispatchSockets
import FlushClient
import FlushCore
import FlushWire
import Glibc
import JSONText

struct FlushCommand: AsyncParsableCommand {
    enum Encryption: String, ExpressibleByArgument, CaseIterable {
        case never, opportunistic, required

        var tls: CurlSMTPRequest.TLS {
            switch self {
            case .never: .never
            case .opportunistic: .opportunistic
            case .required: .required
            }
        }
    }

    static let configuration = CommandConfiguration(
        commandName: "flush",
        abstract: "Ask for delivery of the mail that waits for a domain.",
        discussion: """
            Returns as soon as the request is taken. With --wait it follows what becomes of the mail, and exits with 75 when some of it still \
            waits. With --smtp it sends SMTP ETRN to a server that knows nothing else; there a domain may also be @domain or #queue.
            """)

    @Argument(help: "The domains.")
    var domains: [String] = []

    @Option(help: ArgumentHelp("Ask for one message.", valueName: "queue-id"))
    var message: QueueIDArgument?

    @Flag(help: "Ask for everything that waits.")
    var all = false

    @Flag(help: "Also every domain below the given ones.")
    var subdomains = false

    @Flag(help: "Tell what would be matched, and touch nothing.")
    var dryRun = false

    @Option(help: ArgumentHelp("Follow the flush for so long: 30s, 5m.", valueName: "time"))
    var wait: Seconds?

    @Option(help: "Words of your own, kept with the flush.")
    var note: String?

    @Option(help: ArgumentHelp("Send SMTP ETRN to this server instead.", valueName: "host:port"))
    var smtp: String?

    @Option(help: "How --smtp encrypts.")
    var smtpTls = Encryption.opportunistic

    @Option(help: ArgumentHelp("A file with user:password in its first line, for --smtp.", valueName: "file"))
    var smtpCredentials: String?

    @Option(help: ArgumentHelp("Our name in EHLO, for --smtp.", valueName: "name"))
    var smtpHelo: String?

    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        let kinds = (domains.isEmpty ? 0 : 1) + (message == nil ? 0 : 1) + (all ? 1 : 0)
        guard kinds == 1 else { throw ValidationError("Name domains, or --message, or --all.") }
        if smtp != nil {
            guard !domains.isEmpty else { throw ValidationError("--smtp asks for domains.") }
            guard !dryRun, wait == nil, note == nil else { throw ValidationError("SMTP ETRN has no --dry-run, --wait or --note.") }
            _ = try nodes()
        } else {
            _ = try selectors()
            if subdomains, domains.isEmpty { throw ValidationError("--subdomains is for domains.") }
        }
        if dryRun, wait != nil { throw ValidationError("There is nothing to --wait for with --dry-run.") }
        if let note, note.utf8.count > FlushRequest.maximumNoteLength || note.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            throw ValidationError("--note has at most \(FlushRequest.maximumNoteLength) bytes and no control characters.")
        }
    }

    private func selectors() throws -> [FlushSelector] {
        if let message { return [.message(message.id)] }
        if all { return [.everything] }
        return try domains.map { text in
            do { return .domain(try DomainName(parsing: text), subdomains: subdomains) } catch {
                throw ValidationError("\(text.debugDescription): \(error)")
            }
        }
    }

    private func nodes() throws -> [ETRNNodeName] {
        try domains.map { text in
            do { return try ETRNNodeName(parsing: subdomains && !text.hasPrefix("@") && !text.hasPrefix("#") ? "@" + text : text) } catch {
                throw ValidationError("\(text.debugDescription): \(error)")
            }
        }
    }

    func run() async throws {
        if let smtp { return try await exiting { try await send(to: smtp) } }
        try await connection.run { client in try await flush(client) }
    }

    // MARK: Over HTTP

    private func flush(_ client: APIClient) async throws {
        var options = APIClient.FlushOptions()
        options.dryRun = dryRun
        options.note = note
        let isText = connection.output == .text
        var flushes: [Flush] = []
        var failures: [Failure] = []
        for selector in try selectors() {
            do {
                let flush = try await client.flush(selector, options)
                flushes.append(flush)
                if isText { Console.show(FlushText.asked(flush, at: currentTime(), style: Console.style)) }
            } catch {
                // The others are asked for all the same.
                let failure = Failure(error)
                failures.append(failure)
                Console.complain("\(FlushText.name(selector)): \(failure.text)")
                if failure.status == .unavailable { break }
            }
        }
        if let wait {
            let deadline = ContinuousClock.now + wait.duration
            var progress = Progress(isShown: isText)
            for place in flushes.indices where flushes[place].state == .running {
                flushes[place] = try await client.follow(flushes[place], until: deadline, &progress)
                if isText { Console.show(FlushText.result(flushes[place], style: Console.style)) }
            }
        }
        if !isText { show(flushes) }
        if let worst = failures.first { throw Failure(worst.status, "") }
        if wait != nil, flushes.contains(where: { FlushText.leftBehind($0) > 0 || $0.state == .running }) { throw Failure(.temporary, "") }
    }

    /// One flush as the API answers it; of several domains a list.
    private func show(_ flushes: [Flush]) {
        if domains.count <= 1 {
            if let flush = flushes.first { Console.show { flush.write(to: &$0) } }
        } else {
            showList("flushes", flushes, next: nil) { $0.write(to: &$1) }
        }
    }

    // MARK: Over SMTP

    private func send(to text: String) async throws {
        var server = try Self.server(text)
        server.tls = smtpTls.tls
        server.certificateFile = connection.caFile
        server.replyTimeout = connection.timeout.duration
        server.connectTimeout = min(server.connectTimeout, connection.timeout.duration)
        server.heloName = try helo()
        if let smtpCredentials { server.credentials = try Self.credentials(smtpCredentials) }
        let wanted = try nodes()
        let loop = try EventLoop(label: "etrnctl")
        let sender = ETRNSender(loop: loop)
        let result: Result<[ETRNAnswer], ETRNSendError>
        do throws(ETRNSendError) { result = .success(try await sender.send(wanted, to: server)) } catch { result = .failure(error) }
        await sender.shutdown()
        switch result {
        case .success(let answers):
            show(answers)
            if let status = answers.compactMap(Self.status).first { throw Failure(status, "") }
        case .failure(let error):
            show(error.answers)
            throw error
        }
    }

    private func show(_ answers: [ETRNAnswer]) {
        guard connection.output == .json else {
            for answer in answers { Console.show(answer.lines.map { "\(answer.node): \(safe($0))" }) }
            return
        }
        Console.show { json in
            json.object { json in
                json.name("answers")
                json.array { json in
                    for answer in answers {
                        json.object { json in
                            json.field("node", answer.node.description)
                            json.field("code", answer.code)
                            json.name("lines")
                            json.array { json in for line in answer.lines { json.value(line) } }
                        }
                    }
                }
            }
        }
    }

    private static func status(_ answer: ETRNAnswer) -> ExitStatus? {
        switch answer.meaning {
        case .started, .startedMessages, .nothingWaiting: nil
        case .unable: .temporary
        case .refused: .data
        case .authenticationRequired: .permission
        case .notUnderstood, .other: answer.code / 100 == 4 ? .temporary : .unavailable
        }
    }

    private static func server(_ text: String) throws -> ETRNSender.Server {
        let isBracketed = text.hasPrefix("[")
        let end = isBracketed ? text.firstIndex(of: "]") : text.lastIndex(of: ":")
        guard let end else { throw Failure(.usage, "--smtp: \(text.debugDescription) is not host:port") }
        let host = isBracketed ? text[text.index(after: text.startIndex)..<end] : text[..<end]
        let rest = isBracketed ? text[text.index(after: end)...] : text[end...]
        guard rest.first == ":", let port = UInt16(rest.dropFirst()), port > 0, !host.isEmpty, isBracketed || !host.contains(":") else {
            throw Failure(.usage, "--smtp: \(text.debugDescription) is not host:port, or [IPv6 address]:port")
        }
        return ETRNSender.Server(host: String(host), port: port)
    }

    private func helo() throws -> String {
        if let smtpHelo { return smtpHelo }
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return DomainName(text)?.description ?? "localhost"
    }

    private static func credentials(_ path: String) throws -> CurlSMTPRequest.Credentials {
        let line: String
        do { line = String(try TextFile.read(path, limit: 4_096).prefix { !$0.isNewline }) } catch {
            throw Failure(.configuration, "\(error)")
        }
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else { throw Failure(.configuration, "\(path): the first line is not user:password") }
        return .init(user: String(parts[0]), password: String(parts[1]))
    }
}
