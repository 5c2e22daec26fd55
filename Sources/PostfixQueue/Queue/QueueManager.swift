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

    /// Sends commands, and says why there is no use in that; nil when it takes what it is told. Blocks for at most `patience`.
    ///
    /// A stopped Postfix is told at once; one that is stuck only to who waits: it hangs up when it has read, which is all of an answer
    /// that there is.
    func problem(with commands: [Command], waiting patience: Duration = .zero) -> String? {
        do throws(Unreachable) { try trigger(commands, waiting: patience) } catch { return error.description }
        return nil
    }

    private func trigger(_ commands: [Command], waiting patience: Duration) throws(Unreachable) {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw unreachable(errno) }
        let bytes = commands.map(\.rawValue) + [0]
        switch status.st_mode & S_IFMT {
        case S_IFSOCK: try sendToSocket(bytes, patience)
        // As older versions have it, and some packages still.
        case S_IFIFO: try sendToPipe(bytes)
        default: throw Unreachable(description: "\(path) is neither a socket nor a FIFO")
        }
    }

    private func sendToSocket(_ bytes: [UInt8], _ patience: Duration) throws(Unreachable) {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw unreachable(errno) }
        defer { close(descriptor) }
        guard path.utf8.count <= SocketAddress.longestPath else { throw Unreachable(description: "\(path) is too long for a socket") }
        let connected = SocketAddress.unix(path: path).withSystemAddress { connect(descriptor, $0, $1) }
        guard connected == 0 else { throw unreachable(errno) }
        // The bytes wait in the socket for its accept, also after we have closed our end.
        guard send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count else { throw unreachable(errno) }
        guard patience > .zero else { return }
        guard hangsUp(descriptor, within: patience) else { throw unreachable(EAGAIN) }
    }

    private func hangsUp(_ descriptor: CInt, within patience: Duration) -> Bool {
        let deadline = ContinuousClock.now + patience
        while true {
            let left = (deadline - ContinuousClock.now) / Duration.milliseconds(1)
            guard left > 0 else { return false }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&wait, 1, CInt(min(left.rounded(.up), 60_000)))
            // It says nothing: whatever there is to read is the end.
            if ready > 0 { return true }
            if ready < 0, errno != EINTR { return false }
        }
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
