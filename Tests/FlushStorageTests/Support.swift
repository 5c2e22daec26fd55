// Temporary directories, and a file system's worth of short helpers.

import DispatchSockets
import FlushCore
import FlushStorage
import Glibc
import Logging
import Synchronization

/// Runs `body` with a directory of its own, which is removed afterwards.
func withTemporaryDirectory<T>(_ body: (String) async throws -> T) async throws -> T {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/etrnd-storage-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw SystemFailure(code: errno) }
    let path = String(cString: made)
    defer { removeTree(path) }
    return try await body(path)
}

struct SystemFailure: Error { var code: CInt }

func removeTree(_ path: String) {
    if unlink(path) == 0 { return }
    for name in names(in: path) { removeTree("\(path)/\(name)") }
    rmdir(path)
}

/// The names in a directory, without `.` and `..`, sorted.
func names(in path: String) -> [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var found: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        if name != ".", name != ".." { found.append(name) }
    }
    return found.sorted()
}

func write(_ text: String, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw SystemFailure(code: errno) }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else { throw SystemFailure(code: errno) }
}

func contents(of path: String) throws -> String {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw SystemFailure(code: errno) }
    defer { close(descriptor) }
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        guard count >= 0 else { throw SystemFailure(code: errno) }
        guard count > 0 else { return String(decoding: all, as: UTF8.self) }
        all += buffer[..<count]
    }
}

func mode(of path: String) throws -> mode_t {
    var status = stat()
    guard lstat(path, &status) == 0 else { throw SystemFailure(code: errno) }
    return status.st_mode & 0o777
}

func makeLogs(in directory: String) throws -> DestinationLogs {
    try DestinationLogs(stateDirectory: directory, pool: IOPool(label: "test", width: 2), logger: Logger(label: "test"))
}

/// Everything a store loads, and how much it skipped.
func load(_ store: some FlushLogStore) async throws -> (logs: [DomainName: [QueueID]], skipped: Int) {
    let logs = Mutex<[DomainName: [QueueID]]>([:])
    let skipped = try await store.load { domain, ids in logs.withLock { $0[domain] = ids } }
    return (logs.withLock { $0 }, skipped)
}
