// A queue directory with a queue manager in it that does what a test tells it.

import Dispatch
import DispatchSockets
import FlushCore
import Glibc
import Synchronization

@testable import PostfixQueue

/// A queue below the system's directory for temporary files; removed with the last reference.
///
/// The queue manager is a socket that takes triggers. What it does with messages is up to the test, which moves them itself or gives
/// the triggers to a `FakeQueueManager`.
final class FakePostfix: Sendable {
    let layout: QueueLayout
    let triggers = Mutex<[String]>([])
    private let listener = Mutex<CInt?>(nil)
    private let counter = Mutex(0x10000)
    /// Called with every trigger, before its sender is hung up on.
    private let onTrigger = Mutex<(@Sendable (String) -> Void)?>(nil)

    init(hashedNames: Set<String> = ["deferred", "defer"], depth: Int = 1) throws {
        var template = Array("/tmp/pfq.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SocketError.system(operation: "mkdtemp", code: errno) }
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        layout = QueueLayout(queueDirectory: path, hashedNames: hashedNames, depth: depth)
        for name in ["public", "incoming", "active", "deferred", "hold", "defer", "bounce"] { mkdir("\(path)/\(name)", 0o700) }
        // As a Postfix has them that has run for a while.
        for name in hashedNames where depth > 0 {
            for digit in "0123456789ABCDEF" { mkdir("\(path)/\(name)/\(digit)", 0o700) }
        }
    }

    deinit {
        stopManager()
        removeTree(layout.queueDirectory)
    }

    // MARK: Queue manager

    /// Answers at `public/qmgr`, and keeps what it was told.
    func startManager(_ act: (@Sendable (String) -> Void)? = nil) throws {
        onTrigger.withLock { $0 = act }
        let loopback = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        let path = "\(layout.queueDirectory)/public/qmgr"
        unlink(path)
        let code = SocketAddress.unix(path: path).withSystemAddress { bind(loopback, $0, $1) }
        guard code == 0, listen(loopback, 64) == 0 else { throw SocketError.system(operation: "bind", code: errno) }
        listener.withLock { $0 = loopback }
        DispatchQueue(label: "fake-qmgr").async { @Sendable [weak self] in
            while true {
                let client = accept(loopback, nil, nil)
                // Closed only here: else its number might be another test's socket by the next time round.
                guard client >= 0 else {
                    close(loopback)
                    return
                }
                var bytes = [UInt8](repeating: 0, count: 1_024)
                let count = read(client, &bytes, bytes.count)
                let commands = String(decoding: bytes[..<max(0, count)].filter { $0 != 0 }, as: UTF8.self)
                self?.triggers.withLock { $0.append(commands) }
                self?.onTrigger.withLock { $0 }?(commands)
                close(client)
            }
        }
    }

    /// Leaves the socket's file behind, as a stopped Postfix does.
    func stopManager() {
        onTrigger.withLock { $0 = nil }
        listener.withLock { descriptor in
            // Refuses from here on, and ends the accepting.
            if let descriptor { shutdown(descriptor, CInt(SHUT_RDWR)) }
            descriptor = nil
        }
    }

    // MARK: Messages

    /// Puts a message in, as cleanup(8) would, and returns its ID.
    @discardableResult
    func put(_ recipients: [String], in folder: QueueFolder = .deferred, id given: String? = nil, mode: mode_t = 0o700) -> QueueID {
        let number = counter.withLock { counter in
            counter += 1
            return counter
        }
        let id = QueueID(given ?? String(number, radix: 16, uppercase: true) + "FE0")!
        let temporary = "\(layout.queueDirectory)/\(number).tmp"
        let bytes = QueueFileBuilder.message(recipients: recipients)
        let descriptor = open(temporary, O_CREAT | O_WRONLY | O_CLOEXEC, 0o700)
        _ = write(descriptor, bytes, bytes.count)
        fchmod(descriptor, mode)
        close(descriptor)
        rename(temporary, prepared(id, folder))
        return id
    }

    /// Whether the message is there, complete, and asks for its dead destinations to be forgotten.
    func isUnthrottled(_ id: QueueID, in folder: QueueFolder) -> Bool { status(id, in: folder).st_mode & 0o040 != 0 }

    /// The IDs in a folder, by their names.
    func ids(in folder: QueueFolder) -> [QueueID] {
        guard let leaves = try? QueueDirectory(layout: layout).leaves(of: folder) else { return [] }
        return leaves.flatMap { (try? QueueDirectory(layout: layout).ids(in: $0)) ?? [] }.sorted()
    }

    /// What deliveries wait for: as qmgr(8) leaves a message that is not due before tomorrow.
    func postpone(_ id: QueueID, in folder: QueueFolder) {
        let path = layout.path(of: id, in: folder)
        chmod(path, 0o700)
        let tomorrow = [timespec](repeating: timespec(tv_sec: time(nil) + 86_400, tv_nsec: 0), count: 2)
        utimensat(AT_FDCWD, path, tomorrow, 0)
    }

    func move(_ id: QueueID, from: QueueFolder, to: QueueFolder) {
        rename(layout.path(of: id, in: from), prepared(id, to))
    }

    /// Overwrites the type of a recipient's record, as a delivery agent does.
    func markDone(_ id: QueueID, _ recipient: String, in folder: QueueFolder) {
        let path = layout.path(of: id, in: folder)
        let record = QueueFileBuilder.record("R", recipient)
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        for offset in 0..<max(0, count - record.count) where Array(bytes[offset..<(offset + record.count)]) == record {
            pwrite(descriptor, [UInt8(ascii: "D")], 1, off_t(offset))
        }
    }

    /// Writes why a recipient waits.
    func note(_ id: QueueID, _ recipient: String, _ reason: String, isReply: Bool = false, in log: String = "defer") {
        let text = "\n<\(recipient)>: \(reason)\nrecipient=\(recipient)\n\(isReply ? "diag_type=smtp\n" : "")reason=\(reason)\n\n"
        makeDirectory(layout.directory(of: id, in: log))
        Self.append(text, to: layout.path(of: id, in: log))
    }

    /// Forgets why recipients wait, as at the beginning of an attempt.
    func forgetNotes(_ id: QueueID, in log: String = "defer") { unlink(layout.path(of: id, in: log)) }

    static func append(_ text: String, to path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        _ = write(descriptor, text, text.utf8.count)
        close(descriptor)
    }

    func unlinkMessage(_ id: QueueID, in folder: QueueFolder) { unlink(layout.path(of: id, in: folder)) }

    func exists(_ id: QueueID, in folder: QueueFolder) -> Bool { access(layout.path(of: id, in: folder), F_OK) == 0 }

    func status(_ id: QueueID, in folder: QueueFolder) -> stat {
        var status = stat()
        stat(layout.path(of: id, in: folder), &status)
        return status
    }

    private func prepared(_ id: QueueID, _ folder: QueueFolder) -> String {
        makeDirectory(layout.directory(of: id, in: folder.name))
        return layout.path(of: id, in: folder)
    }

    private func makeDirectory(_ path: String) {
        var built = ""
        for part in path.split(separator: "/") {
            built += "/\(part)"
            mkdir(built, 0o700)
        }
    }
}

private func removeTree(_ path: String) {
    if let stream = opendir(path) {
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name == "." || name == ".." { continue }
            if entry.pointee.d_type == UInt8(DT_DIR) { removeTree("\(path)/\(name)") } else { unlink("\(path)/\(name)") }
        }
        closedir(stream)
    }
    rmdir(path)
}

extension SocketAddress {
    func withSystemAddress(_ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        guard case .unix(let path) = self else { return -1 }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}
