// Small files that a command is given.

import Glibc

enum TextFile {
    struct Unreadable: Error, CustomStringConvertible {
        var description: String
    }

    /// The file's text, of at most `limit` bytes; `-` is standard input.
    static func read(_ path: String, limit: Int) throws(Unreadable) -> String {
        let descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Unreadable(description: "\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = piece.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Unreadable(description: "\(path): \(String(cString: strerror(errno)))") }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += piece[..<count]
            guard bytes.count <= limit else { throw Unreadable(description: "\(path): longer than \(limit) bytes") }
        }
    }
}
