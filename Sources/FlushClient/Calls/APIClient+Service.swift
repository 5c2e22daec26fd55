// How the service itself is doing.

import FlushWire

extension APIClient {
    /// `GET /status`
    public func status() async throws(FlushClientError) -> ServerStatus {
        try await exchange.read(Endpoint("GET", "status")) { (answer) throws(InvalidAnswer) in try ServerStatus(answer: answer) }
    }

    /// `GET /policy`
    public func policy() async throws(FlushClientError) -> ServerPolicy {
        try await exchange.read(Endpoint("GET", "policy")) { (answer) throws(InvalidAnswer) in try ServerPolicy(answer: answer) }
    }

    /// `GET /readyz`: what keeps the service from doing its work, a line each; none when it is ready. A busy answer is not asked for twice.
    public func impediments() async throws(FlushClientError) -> [String] {
        var own = exchange
        own = Exchange(address: own.address, options: own.options.withoutRetries, http: own.http)
        let endpoint = Endpoint("GET", "readyz")
        let answer = try await own.answer(to: endpoint)
        guard answer.contentType == "text/plain", answer.status == 200 || answer.status == 503 else {
            throw .foreignAnswer(url: own.url(of: endpoint), status: answer.status, reason: "neither ready nor not ready")
        }
        guard answer.status == 503 else { return [] }
        let prefix = "not ready: "
        return String(decoding: answer.body, as: UTF8.self).split(separator: "\n").map { line in
            String(line.hasPrefix(prefix) ? line.dropFirst(prefix.count) : line)
        }
    }
}

extension FlushClientOptions {
    fileprivate var withoutRetries: FlushClientOptions {
        var own = self
        own.retries = 0
        return own
    }
}
