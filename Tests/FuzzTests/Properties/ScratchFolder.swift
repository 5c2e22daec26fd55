// Files for the parsers that read files themselves.

import Glibc
import Synchronization

/// A directory of this process below `TMPDIR`, removed when the process ends in order.
enum ScratchFolder {
    private static let count = Atomic(0)

    static let path: String = {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/etrnd-fuzz-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { preconditionFailure("no directory can be made in \(parent)") }
        atexit { rmdir(ScratchFolder.path) }
        return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }()

    /// Calls `body` with the path of a file that is not there yet, and removes what is there afterwards.
    static func withFile(_ body: (String) throws -> Void) throws {
        let path = "\(path)/\(count.wrappingAdd(1, ordering: .relaxed).newValue)"
        defer { unlink(path) }
        try body(path)
    }

    static func append(_ bytes: [UInt8], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Violation(description: "cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        guard write(descriptor, bytes, bytes.count) == bytes.count else { throw Violation(description: "cannot write to \(path)") }
    }
}
