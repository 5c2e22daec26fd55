// The names in a directory, one after the other.

import FlushCore
import Glibc
import SystemPackage

/// Reads a directory without ever holding more than one of its names. Names that begin with a dot are passed over.
///
/// `@unchecked Sendable`: the stream behind the pointer has no thread of its own, and its only user (`DestinationLogs.load`) awaits each
/// call before it makes the next, so no two threads are ever in it at once. The pointer does not leave this class.
final class LogDirectory: @unchecked Sendable {
    private let path: String
    private let stream: OpaquePointer

    init(_ path: String) throws(StoreError) {
        guard let stream = opendir(path) else { throw StateDirectory.failure(path) }
        self.path = path
        self.stream = stream
    }

    deinit { closedir(stream) }

    /// The next name; nil at the end.
    func next() throws(StoreError) -> String? {
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw StateDirectory.failure(path) }
                return nil
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { return name }
        }
    }
}
