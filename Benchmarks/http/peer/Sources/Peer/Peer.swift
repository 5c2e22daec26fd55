// Answers with bodies of given lengths at the paths that Benchmarks/http/run asks for.

import Hummingbird

/// `Peer PORT STATUS-BYTES FLUSH-BYTES PAGE-BYTES`, on loopback.
@main
struct Peer {
    static func main() async throws {
        let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        guard numbers.count == 4 else { throw Usage() }
        let router = Router()
        let status = body(numbers[1])
        let flush = body(numbers[2])
        let page = body(numbers[3])
        router.get("status") { _, _ in answer(status) }
        router.post("etrn/:domain") { _, _ in answer(flush) }
        router.get("domains") { _, _ in answer(page) }
        let address = BindAddress.hostname("127.0.0.1", port: numbers[0])
        let configuration = ApplicationConfiguration(address: address, backlog: 1024)
        var application = Application(router: router, configuration: configuration)
        application.logger.logLevel = .error
        try await application.runService()
    }

    /// Made once: what is compared is the server, not a JSON encoder.
    private static func body(_ length: Int) -> ByteBuffer {
        ByteBuffer(repeating: UInt8(ascii: "x"), count: length)
    }

    private static func answer(_ body: ByteBuffer) -> Response {
        Response(status: .ok, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: body))
    }
}

struct Usage: Error, CustomStringConvertible {
    var description: String { "usage: Peer PORT STATUS-BYTES FLUSH-BYTES PAGE-BYTES" }
}
