// Requests to one server, and what their answers mean before anybody looks into the bodies.

import CurlTransport
import DispatchSockets
import FlushWire

/// Sends endpoints to a server: retries what is safe, tells good answers from problems, and the daemon from everything else.
struct Exchange: Sendable {
    /// Between two attempts to reach a server that was there a moment ago; doubled each time.
    private static let firstPause = Duration.milliseconds(100)

    let address: ServerAddress
    let options: FlushClientOptions
    let http: CurlHTTP

    /// A good answer.
    struct Answer: Sendable {
        var status: Int
        var contentType: String
        var retryAfterSeconds: Int?
        var body: [UInt8]
    }

    func url(of endpoint: Endpoint) -> String {
        address.unixSocket == nil ? address.base + endpoint.target : "\(address)\(endpoint.target)"
    }

    /// Asks for a JSON document.
    func document(_ endpoint: Endpoint) async throws(FlushClientError) -> (status: Int, value: JSONValue) {
        let answer = try await perform(endpoint)
        guard answer.contentType == "application/json" else {
            throw .foreignAnswer(url: url(of: endpoint), status: answer.status, reason: Self.strangeType(answer.contentType))
        }
        guard let value = JSONValue(parsing: answer.body) else {
            throw .foreignAnswer(url: url(of: endpoint), status: answer.status, reason: "the answer is no JSON document, or half of one")
        }
        return (answer.status, value)
    }

    /// Asks for a JSON document and reads it.
    func read<Value>(
        _ endpoint: Endpoint, _ read: (JSONValue) throws(InvalidAnswer) -> Value
    ) async throws(FlushClientError) -> Value {
        let (status, value) = try await document(endpoint)
        do { return try read(value) } catch { throw .foreignAnswer(url: url(of: endpoint), status: status, reason: "\(error)") }
    }

    /// Asks for something to be done that has nothing to tell.
    func order(_ endpoint: Endpoint) async throws(FlushClientError) {
        let answer = try await perform(endpoint)
        guard answer.status == 204 else {
            throw .foreignAnswer(url: url(of: endpoint), status: answer.status, reason: "204 was expected")
        }
    }

    /// Sends it, and throws everything that is no success.
    func perform(_ endpoint: Endpoint) async throws(FlushClientError) -> Answer {
        let answer = try check(await send(endpoint), endpoint)
        guard !(200...299).contains(answer.status) else { return answer }
        throw refusal(answer, endpoint)
    }

    /// Sends it, and throws everything that is no whole answer.
    func answer(to endpoint: Endpoint) async throws(FlushClientError) -> Answer { try check(await send(endpoint), endpoint) }

    // MARK: Attempts

    private func send(_ endpoint: Endpoint) async -> CurlHTTPAnswer {
        var request = CurlHTTPRequest(
            method: endpoint.method, url: address.base + endpoint.target, unixSocket: address.unixSocket, fields: endpoint.fields,
            body: endpoint.body)
        request.fields.append(.init("Accept", "application/json, application/problem+json, text/plain;q=0.5"))
        request.fields.append(.init("User-Agent", options.userAgent))
        if let token = options.token { request.fields.append(.init("Authorization", "Bearer \(token.text)")) }
        request.certificateFile = options.certificateFile
        request.connectTimeout = options.connectTimeout
        request.maximumAnswer = options.maximumAnswer

        let limit = options.timeout + endpoint.serverWait
        let deadline = ContinuousClock.now + limit
        var attempt = 0
        while true {
            request.overallTimeout = max(.milliseconds(1), deadline - .now)
            let answer = await http.perform(request)
            guard attempt < options.retries, let pause = pause(after: answer, attempt, isSafe: endpoint.isSafe),
                ContinuousClock.now + pause < deadline, !Task.isCancelled
            else { return answer }
            attempt += 1
            try? await Task.sleep(for: pause)
        }
    }

    /// How long to wait before sending it again; nil when it must not be.
    private func pause(after answer: CurlHTTPAnswer, _ attempt: Int, isSafe: Bool) -> Duration? {
        let growing = Self.firstPause * (1 << attempt)
        switch answer.ending {
        case .answered:
            // A 503 says that nothing was done.
            guard answer.status == 503, let seconds = Self.retryAfter(answer) else { return nil }
            let pause = Duration.seconds(seconds)
            return pause <= options.longestRetryPause ? pause : nil
        case .lost: return isSafe && !answer.hasBegun ? growing : nil
        // Nobody was there at the first attempt: nobody is coming back. After another one the server is being restarted.
        case .notConnected: return attempt > 0 ? growing : nil
        case .notTrusted, .timedOut, .malformed, .tooLarge, .invalid, .cancelled, .noResources: return nil
        }
    }

    private static func retryAfter(_ answer: CurlHTTPAnswer) -> Int? {
        guard let text = answer.field("retry-after"), text.utf8.count <= 6, let seconds = Int(text), seconds >= 0 else { return nil }
        return seconds
    }

    // MARK: What it means

    private func check(_ answer: CurlHTTPAnswer, _ endpoint: Endpoint) throws(FlushClientError) -> Answer {
        let url = url(of: endpoint)
        let status = answer.hasBegun ? answer.status : nil
        let unknown = endpoint.isSafe ? "" : "; whether it was carried out is not known"
        switch answer.ending {
        case .answered:
            let type = answer.field("content-type")?.prefix { $0 != ";" && $0 != " " }.lowercased() ?? ""
            return Answer(status: answer.status, contentType: type, retryAfterSeconds: Self.retryAfter(answer), body: answer.body)
        case .notConnected: throw .unreachable(url: url, reason: answer.errorText)
        case .notTrusted: throw .unreachable(url: url, reason: "TLS: \(answer.errorText)")
        case .lost: throw .noAnswer(url: url, status: status, reason: "the connection was closed\(unknown)")
        case .timedOut:
            guard answer.connected else { throw .unreachable(url: url, reason: "no connection within the time limit") }
            throw .noAnswer(url: url, status: status, reason: "timed out\(unknown)")
        case .malformed: throw .foreignAnswer(url: url, status: answer.status, reason: "it is no HTTP (\(answer.errorText))")
        case .tooLarge:
            throw .foreignAnswer(url: url, status: answer.status, reason: "it is longer than \(options.maximumAnswer) bytes")
        case .invalid(let why): throw .invalid("this cannot be asked over HTTP: \(why)")
        case .cancelled: throw .cancelled
        case .noResources(let why): throw .unreachable(url: url, reason: why)
        }
    }

    private func refusal(_ answer: Answer, _ endpoint: Endpoint) -> FlushClientError {
        let url = url(of: endpoint)
        guard answer.contentType == "application/problem+json" else {
            return .foreignAnswer(url: url, status: answer.status, reason: Self.strangeType(answer.contentType))
        }
        guard let value = JSONValue(parsing: answer.body),
            let problem = ProblemAnswer(value, status: answer.status, retryAfterSeconds: answer.retryAfterSeconds)
        else {
            return .foreignAnswer(url: url, status: answer.status, reason: "the problem is no JSON object, or half of one")
        }
        return problem.error.map { .refused($0) } ?? .problem(problem, url: url)
    }

    private static func strangeType(_ type: String) -> String {
        switch type {
        case "": "the answer has no Content-Type"
        case "text/html": "it is an HTML page; a proxy in between, or another server at this address?"
        default: "its Content-Type is \(type.prefix(100).debugDescription)"
        }
    }
}
