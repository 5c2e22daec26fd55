// The queue manager's trigger socket.

import DispatchSockets
import Glibc

/// Tells qmgr(8) what to do, a byte a command; see `postqueue(1)` and `mail_trigger(3)`.
///
/// It reads what is there when it has accepted, and waits up to 10 s for a client that says nothing, while all mail waits with it:
/// nothing here connects without writing at once.
struct QueueManager: Sendable {
    enum Command: UInt8 {
        case scanIncoming = 0x49  // I
        case scanDeferred = 0x44  // D
        case ignoreTimeStamps = 0x41  // A
        case forgetDeadDestinations = 0x46  // F
    }

    /// Why the queue manager was not reached.
    struct Unreachable: Error, Equatable, CustomStringConvertible {
        var description: String
    }

    /// Below the queue directory.
    let path: String

    init(queueDirectory: String) { path = "\(queueDirectory)/public/qmgr" }

    /// Sends commands and does not wait for anything; a stopped Postfix is told at once, one that is slow is not.
    func trigger(_ commands: [Command]) throws(Unreachable) {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw unreachable(errno) }
        let bytes = commands.map(\.rawValue) + [0]
        switch status.st_mode & S_IFMT {
        case S_IFSOCK: try sendToSocket(bytes)
        // Before 3.? it was a FIFO in some packages; both are still out there.
        case S_IFIFO: try sendToPipe(bytes)
        default: throw Unreachable(description: "\(path) is neither a socket nor a FIFO")
        }
    }

    private func sendToSocket(_ bytes: [UInt8]) throws(Unreachable) {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw unreachable(errno) }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < room else { throw Unreachable(description: "\(path) is too long for a socket") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { throw unreachable(errno) }
        // The bytes wait in the socket for its accept, also after we have closed our end.
        guard send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count else { throw unreachable(errno) }
    }

    private func sendToPipe(_ bytes: [UInt8]) throws(Unreachable) {
        let descriptor = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw unreachable(errno) }
        defer { close(descriptor) }
        guard write(descriptor, bytes, bytes.count) == bytes.count else { throw unreachable(errno) }
    }

    private func unreachable(_ code: CInt) -> Unreachable {
        let why =
            switch code {
            case ENOENT, ECONNREFUSED, ENXIO: "is Postfix running?"
            case EAGAIN: "it does not take requests; is it stuck?"
            default: String(cString: strerror(code))
            }
        return Unreachable(description: "the queue manager cannot be reached at \(path): \(why)")
    }
}
