// What systemd wants to hear of a service of Type=notify: that it is ready, that it stops, that it is alive (sd_notify(3)).

import DispatchSockets
import Glibc
import Logging

/// Tells the service manager that has started us, if one has; else every call does nothing.
struct ServiceManager: Sendable {
    private let address: SocketAddress?
    /// How often the manager wants a sign of life; nil when it does not.
    private let watchdog: Duration?

    init(environment: [String: String]) {
        // An abstract address begins with '@' there and with a zero byte in the kernel; ours take paths only, as systemd gives them.
        address = environment["NOTIFY_SOCKET"].flatMap { $0.hasPrefix("/") ? .unix(path: $0) : nil }
        let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
        watchdog = environment["WATCHDOG_USEC"].flatMap { isMeant ? Int64($0) : nil }.map { .microseconds($0) }
    }

    func ready() { tell("READY=1") }

    func stopping() { tell("STOPPING=1") }

    /// Signs of life from the loop, twice in the time that is wanted: a loop that is stuck gives none, and the manager starts us anew.
    /// Up and fast, or dead: Postfix's delivery agents wait for whoever is slow. Only on the loop.
    func keepAlive(on loop: EventLoop) {
        guard address != nil, let watchdog, watchdog > .zero else { return }
        tell("WATCHDOG=1")
        _ = loop.schedule(after: watchdog / 2) { keepAlive(on: loop) }
    }

    private func tell(_ state: String) {
        guard let address else { return }
        let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let bytes = Array(state.utf8)
        let sent = address.withSystemAddress { sendto(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL), $0, $1) }
        if sent < 0 { Console.tell("etrnd: the service manager does not hear us: \(String(cString: strerror(errno)))") }
    }
}
