// A client that speaks SMTP on a real socket; its calls wait on a Dispatch thread, never on the loop.

import DispatchSockets
import Glibc
import SocketTesting

// @unchecked: each test uses its client from one task at a time.
final class TestClient: @unchecked Sendable {
    private let client: BlockingClient
    private var unread: [UInt8] = []

    /// Small, so that the kernel's buffers do not hide who holds up whom.
    private static let kernelBuffer: CInt = 32 * 1024

    init(to address: SocketAddress) throws {
        client = try BlockingClient(to: address, sendBuffer: Self.kernelBuffer, receiveBuffer: Self.kernelBuffer)
    }

    static func connect(to address: SocketAddress) async throws -> TestClient {
        try await blocking { try TestClient(to: address) }
    }

    func send(_ text: String) async throws {
        try await blocking { try self.client.send(text.utf8) }
    }

    /// Sends until everything is gone or the server has taken nothing for `milliseconds`; returns how much went.
    func sendUntilStalled(_ bytes: [UInt8], milliseconds: CInt) async throws -> Int {
        try await blocking {
            var sent = 0
            while sent < bytes.count, try self.client.isWritable(within: milliseconds) { sent += try self.client.sendSome(bytes[sent...]) }
            return sent
        }
    }

    func send(_ bytes: ArraySlice<UInt8>) async throws {
        try await blocking { try self.client.send(bytes) }
    }

    /// A whole reply, continued lines included.
    func reply() async throws -> String {
        try await blocking {
            var reply = ""
            repeat {
                while !self.unread.contains(UInt8(ascii: "\n")) {
                    guard try self.receive() else { throw ClientError("end of input after \(reply)") }
                }
                let end = self.unread.firstIndex(of: UInt8(ascii: "\n")) ?? 0
                let line = String(decoding: self.unread[...end], as: UTF8.self)
                self.unread.removeFirst(end + 1)
                reply += line
                if line.dropFirst(3).first != "-" { return reply }
            } while true
        }
    }

    func replies(_ count: Int) async throws -> [String] {
        var codes: [String] = []
        for _ in 0..<count { codes.append(String(try await reply().prefix(3))) }
        return codes
    }

    /// Sends one command and waits for its reply's code.
    func code(of command: String) async throws -> String {
        try await send(command + "\r\n")
        return String(try await reply().prefix(3))
    }

    /// All that comes until the server closes; a reset counts as that.
    func rest() async throws -> String {
        try await blocking {
            while try self.receive() {}
            return String(decoding: self.unread, as: UTF8.self)
        }
    }

    func closeOutput() { client.finishSending() }
    func reset() { client.reset() }

    /// Takes what is there; false at the end. A reset counts as that.
    private func receive() throws -> Bool {
        do {
            let some = try client.receiveSome()
            unread += some
            return !some.isEmpty
        } catch let error where error.code == ECONNRESET { return false }
    }
}
