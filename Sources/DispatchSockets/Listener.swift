// A listening socket on an event loop.

import CLinux
import Glibc

/// Accepts connections at one address; made by `EventLoop.listen`. Only on its loop.
///
/// Out of descriptors (EMFILE, ENFILE) or of memory for one, it stands still until one of the loop's connections is closed, or for
/// a second. At `ListenerLimits.maximumConnections` it stands still until one of its own is closed.
public final class Listener {
    /// Connections accepted at one event; more wait for the next round.
    private static let acceptsPerEvent = 64
    /// How long it waits for a descriptor when nobody on this loop gives one back.
    private static let starvedPause: Duration = .seconds(1)

    /// Where it listens: the port is the real one also when 0 was asked for.
    public let address: SocketAddress
    public let limits: ListenerLimits
    /// Its connections that are open.
    public private(set) var connectionCount = 0
    /// True while it waits for a free descriptor.
    public private(set) var isStarved = false

    private let loop: EventLoop
    private let descriptor: CInt
    private var token: UInt64 = 0
    private var accept: ((Connection) -> Void)?
    private let ownFile: SocketFile?
    private var isPaused = false
    private var isWatched = true
    private var retry: LoopTimer?

    init(
        loop: EventLoop, address: SocketAddress, limits: ListenerLimits, accept: @escaping (Connection) -> Void
    ) throws(SocketError) {
        let bound = try ListeningSocket.open(at: address, limits: limits)
        self.loop = loop
        self.limits = limits
        self.accept = accept
        self.address = bound.address
        descriptor = bound.descriptor
        ownFile = bound.file
        do {
            token = try loop.poller.add(descriptor, interest: PollEvents.readable, owner: .listener(self))
        } catch {
            ListeningSocket.dispose(of: bound)
            throw error
        }
    }

    public var isClosed: Bool { accept == nil }

    /// Accepts nothing until `resume`; peers wait in the backlog.
    public func pause() {
        loop.preconditionCurrent()
        isPaused = true
        updateInterest()
    }

    public func resume() {
        loop.preconditionCurrent()
        isPaused = false
        updateInterest()
    }

    /// Stops listening; its connections live on. A UNIX socket's file is removed, unless it is no longer ours.
    public func close() {
        loop.preconditionCurrent()
        guard accept != nil else { return }
        accept = nil
        retry?.cancel()
        loop.starved.removeAll { $0 === self }
        loop.poller.remove(descriptor, token: token)
        ownFile?.remove()
        _ = Glibc.close(descriptor)
        loop.descriptorWasFreed()
    }

    func ready() {
        for _ in 0..<Self.acceptsPerEvent {
            guard isWatched, let accept else { return }
            guard connectionCount < limits.maximumConnections else { return updateInterest() }
            switch acceptOne() {
            case .accepted(let connection):
                connectionCount += 1
                accept(connection)
                if connection.handler == nil { connection.abort() }
            case .nothing: return
            case .again: continue
            case .starved: return starve()
            }
        }
    }

    private enum Attempt {
        case accepted(Connection)
        case nothing
        case again
        case starved
    }

    private func acceptOne() -> Attempt {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let accepted = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { clinux_accept(descriptor, $0, &length) }
        }
        guard accepted >= 0 else {
            switch errno {
            case EAGAIN: return .nothing
            // The peer gave up while it waited; Linux also passes on errors that belong to the new connection (accept(2)).
            case EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH:
                return .again
            default: return .starved
            }
        }
        let peer = Peer(
            address: SocketAddress(storage: &storage, length: length) ?? .unix(path: ""),
            credentials: address.isUnix ? Self.credentials(of: accepted) : nil)
        do {
            return .accepted(try Connection(loop: loop, listener: self, descriptor: accepted, peer: peer))
        } catch {
            _ = Glibc.close(accepted)
            return .starved
        }
    }

    private static func credentials(of descriptor: CInt) -> (uid: UInt32, gid: UInt32, pid: Int32)? {
        var uid: uid_t = 0
        var gid: gid_t = 0
        var pid: pid_t = 0
        guard clinux_peer_credentials(descriptor, &uid, &gid, &pid) == 0 else { return nil }
        return (uid, gid, pid)
    }

    private func starve() {
        guard !isStarved, !loop.isShutDown else { return }
        isStarved = true
        loop.starved.append(self)
        retry = loop.schedule(after: Self.starvedPause) { [weak self] in self?.descriptorWasFreed() }
        updateInterest()
    }

    func descriptorWasFreed() {
        guard isStarved else { return }
        isStarved = false
        retry?.cancel()
        retry = nil
        loop.starved.removeAll { $0 === self }
        updateInterest()
    }

    func connectionWasClosed() {
        connectionCount -= 1
        updateInterest()
    }

    private func updateInterest() {
        guard accept != nil else { return }
        let wanted = !isPaused && !isStarved && connectionCount < limits.maximumConnections
        guard wanted != isWatched else { return }
        isWatched = wanted
        _ = loop.poller.modify(descriptor, token: token, interest: wanted ? PollEvents.readable : 0)
    }
}
