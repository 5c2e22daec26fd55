// Contents to send, and a transport to send them with.

import CurlTransport
import DispatchSockets
import Glibc
import Synchronization

/// Content from memory, in pieces of a given size.
final class TextUpload: CurlUpload {
    let bytes: [UInt8]
    private let pieceLength: Int
    private let offset = Mutex(0)

    init(_ text: String, pieceLength: Int = .max) {
        bytes = Array(text.utf8)
        self.pieceLength = pieceLength
    }

    init(bytes: [UInt8], pieceLength: Int = .max) {
        self.bytes = bytes
        self.pieceLength = pieceLength
    }

    func next(maximum: Int) async -> [UInt8] {
        offset.withLock { offset in
            let piece = bytes[offset..<min(bytes.count, offset + min(maximum, pieceLength))]
            offset += piece.count
            return Array(piece)
        }
    }
}

struct UploadFault: Error, CustomStringConvertible { var description: String { "the disk is gone" } }

/// Content that breaks in the middle, or never comes.
final class BrokenUpload: CurlUpload {
    enum Way: Sendable { case fails, hangs }
    private let way: Way
    private let asked = Mutex(0)

    init(_ way: Way) { self.way = way }

    func next(maximum: Int) async throws -> [UInt8] {
        let call = asked.withLock {
            $0 += 1; return $0
        }
        if call == 1 { return Array("Subject: half\r\n\r\nfirst line\r\n".utf8) }
        switch way {
        case .fails: throw UploadFault()
        case .hangs:
            try await Task.sleep(for: .seconds(3600))
            return []
        }
    }
}

func transfer(
    to port: UInt16, recipients: [String] = ["a@customer.example"], upload: TextUpload = TextUpload("Subject: x\r\n\r\nbody\r\n")
) -> CurlTransfer {
    var transfer = CurlTransfer(
        host: "127.0.0.1", port: port, heloName: "me.example", sender: "sender@provider.example", recipients: recipients,
        content: upload, size: upload.bytes.count)
    transfer.overallTimeout = .seconds(240)
    return transfer
}

/// Runs `body` with a transport on a loop of its own, and ends both.
func withTransport<Result: Sendable>(
    transfers: Int = 20, cached: Int = 20, _ body: (CurlMulti) async throws -> Result
) async throws -> Result {
    let loop = try EventLoop(label: "curl-test")
    let curl = CurlMulti(loop: loop, maximumTransfers: transfers, maximumCachedConnections: cached)
    let result: Result
    do { result = try await body(curl) } catch {
        await curl.shutdown()
        loop.shutdown()
        throw error
    }
    await curl.shutdown()
    loop.shutdown()
    return result
}

/// How many descriptors this process has open, as soon as that has not changed for a while.
func settledDescriptors() async throws -> Int {
    var (count, rounds) = (openDescriptors(), 0)
    while rounds < 10 {
        try await Task.sleep(for: .milliseconds(20))
        let now = openDescriptors()
        (count, rounds) = (now, now == count ? rounds + 1 : 0)
    }
    return count
}

/// How many descriptors this process has open.
func openDescriptors() -> Int {
    guard let directory = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
}
