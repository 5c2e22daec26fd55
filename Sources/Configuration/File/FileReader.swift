// Reads a configuration file or a list file, with a bound.

import Glibc

public enum FileReader {
    /// The text of the file at `path`; fails on a directory, a device, a file with more than `limit` bytes or not in UTF-8.
    public static func text(of path: String, limit: Int) throws(ConfigurationError) -> String {
        let bytes: [UInt8]
        do { bytes = try read(path, limit: limit) } catch {
            throw ConfigurationError([.init(file: path, text: error.text)])
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError([.init(file: path, line: firstBadLine(bytes), text: "the line is not valid UTF-8")])
        }
        return text
    }

    private static func read(_ path: String, limit: Int) throws(InvalidValue) -> [UInt8] {
        // O_NONBLOCK: a FIFO without a writer would hold us here for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw InvalidValue("cannot open the file: \(reason())") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw InvalidValue("cannot look at the file: \(reason())") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw InvalidValue("not a regular file") }

        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= limit {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count >= 0 else {
                if errno == EINTR { continue }
                throw InvalidValue("cannot read the file: \(reason())")
            }
            guard count > 0 else { return bytes }
            bytes.append(contentsOf: chunk[..<count])
        }
        throw InvalidValue("the file is longer than \(limit) bytes")
    }

    private static func reason() -> String { String(cString: strerror(errno)) }

    private static func firstBadLine(_ bytes: [UInt8]) -> Int {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return (lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0) + 1
    }
}
