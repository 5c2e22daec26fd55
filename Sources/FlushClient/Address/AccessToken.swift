// The secret that lets an asker in, out of its file.

import Glibc

/// A bearer token. Its text goes into requests and nowhere else: `description` does not have it.
public struct AccessToken: Sendable, Equatable, CustomStringConvertible {
    public static let maximumLength = 4_096

    let text: String

    public var description: String { "a token" }

    /// Reads a token from the first line of a file.
    public init(file path: String) throws(InvalidAccessToken) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw InvalidAccessToken(reason: "\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.maximumLength + 2)
        var length = 0
        while length < bytes.count {
            let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress?.advanced(by: length), $0.count - length) }
            guard count >= 0 else {
                if errno == EINTR { continue }
                throw InvalidAccessToken(reason: "\(path): \(String(cString: strerror(errno)))")
            }
            if count == 0 { break }
            length += count
        }
        let line = bytes[..<length].prefix { $0 != UInt8(ascii: "\n") }
        let text = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        guard !text.isEmpty else { throw InvalidAccessToken(reason: "\(path): the first line is empty") }
        guard text.count <= Self.maximumLength else { throw InvalidAccessToken(reason: "\(path): longer than \(Self.maximumLength) bytes") }
        // RFC 6750, section 2.1: no spaces, and nothing that would end the field.
        guard text.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw InvalidAccessToken(reason: "\(path): the first line has characters that no token has")
        }
        self.text = String(decoding: text, as: UTF8.self)
    }
}

/// Why there is no token. Never holds any of the file's text.
public struct InvalidAccessToken: Error, Equatable, Sendable, CustomStringConvertible {
    public var reason: String

    public var description: String { reason }
}
