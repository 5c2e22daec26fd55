// A client that says in HTTP exactly what a test gives it.
import DispatchSockets
import SocketTesting

/// A blocking TCP connection to a server under test.
// @unchecked: each test uses its client from one piece of code at a time.
final class RawClient: @unchecked Sendable {
    /// Every wait ends after so many seconds.
    static let patience = 30

    private let client: BlockingClient
    private var received: [UInt8] = []

    init(_ address: SocketAddress, receiveBuffer: CInt? = nil) throws {
        client = try BlockingClient(to: address, patience: Self.patience, receiveBuffer: receiveBuffer)
    }

    func send(_ text: String) throws { try client.send(text.utf8) }
    func send(_ bytes: [UInt8]) throws { try client.send(bytes) }
    func finishSending() { client.finishSending() }
    func reset() { client.reset() }
    func receiveSome(_ most: Int = 65_536) throws -> [UInt8] { try client.receiveSome(most) }
    /// Lets time pass without reading.
    func rest(milliseconds: CInt) throws { try client.rest(milliseconds: milliseconds) }
    func isReadable(within milliseconds: CInt) throws -> Bool { try client.isReadable(within: milliseconds) }

    /// Sends the bytes again and again without waiting, until the kernel takes no more for `quiet` milliseconds, or `most` are sent.
    func flood(_ bytes: [UInt8], most: Int, quiet: CInt = 300) throws -> Int {
        var total = 0
        while total < most, try client.isWritable(within: quiet) { total += try client.sendSome(bytes[...]) }
        return total
    }

    /// The next response's head, read byte by byte so that nothing of the body is taken.
    func receiveHead() throws -> RawResponse {
        var head: [UInt8] = []
        while true {
            if let response = RawResponse(taking: &head, toHead: true) { return response }
            let byte = try receiveSome(1)
            guard !byte.isEmpty else { throw ClientError("the connection ended in a head") }
            head += byte
        }
    }

    /// Everything until the server ends the connection.
    func receiveAll() throws -> String {
        while true {
            let some = try receiveSome()
            if some.isEmpty { break }
            received += some
        }
        defer { received = [] }
        return String(decoding: received, as: UTF8.self)
    }

    /// The next response: its head, and the body that its Content-Length announces.
    func receive(toHead: Bool = false) throws -> RawResponse {
        while true {
            if let response = RawResponse(taking: &received, toHead: toHead) { return response }
            let some = try receiveSome()
            guard !some.isEmpty else { throw ClientError("the connection ended after \(String(decoding: received, as: UTF8.self))") }
            received += some
        }
    }

    func exchange(_ text: String) throws -> RawResponse {
        try send(text)
        return try receive()
    }
}

struct RawResponse: Equatable {
    var status: Int
    var fields: [String: String]
    var body: String

    init?(taking bytes: inout [UInt8], toHead: Bool) {
        guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: [13, 10, 13, 10]) }) else { return nil }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
        status = Int(lines[0].split(separator: " ")[1]) ?? 0
        fields = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        let length = toHead ? 0 : fields["content-length"].flatMap { Int($0) } ?? 0
        guard bytes.count >= end + 4 + length else { return nil }
        body = String(decoding: bytes[(end + 4)..<(end + 4 + length)], as: UTF8.self)
        bytes.removeFirst(end + 4 + length)
    }
}
