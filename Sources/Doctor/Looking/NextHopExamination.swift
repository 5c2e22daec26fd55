// Knocks at the site's door.

import Dispatch
import DispatchSockets
import FlushCore
import Glibc
import Synchronization

/// Connects to a next hop and reads what its server says first. Blocks, every wait bounded.
struct NextHopExamination {
    /// A resolver may try several servers several times.
    static let lookUpLimit = 10
    static let connectLimit = Duration.seconds(5)
    static let bannerLimit = Duration.seconds(5)
    /// A server with more addresses than these is tried at the first ones.
    static let maximumAddresses = 4

    let nextHop: NextHop

    func look() -> NextHopFacts {
        guard !nextHop.usesMX else { return NextHopFacts(nextHop: "\(nextHop)", outcome: .usesMX) }
        let addresses: [SocketAddress]
        do { addresses = try NameLookUp.addresses(of: nextHop.host, port: nextHop.port, within: Self.lookUpLimit) } catch {
            return NextHopFacts(nextHop: "\(nextHop)", outcome: .lookUpFailed(error.reason))
        }
        var attempts: [NextHopFacts.Attempt] = []
        for address in addresses.prefix(Self.maximumAddresses) {
            let conversation = knock(at: address)
            attempts.append(.init(address: "\(address)", conversation: conversation))
            if case .heard(let text) = conversation, text.hasPrefix("220") { break }
        }
        return NextHopFacts(nextHop: "\(nextHop)", outcome: .tried(attempts))
    }

    private func knock(at address: SocketAddress) -> Conversation {
        do throws(SocketError) {
            let connection = try ProbeConnection(to: address, within: Self.connectLimit)
            // The first line tells; a server that says more has not finished before its last one.
            let said = connection.greeting(within: Self.bannerLimit, until: Self.isWholeReply)
            if case .heard = said { _ = connection.send(Array("QUIT\r\n".utf8)) }
            return said
        } catch {
            return .unreachable(error.reason)
        }
    }

    /// RFC 5321, section 4.2: the last line of a reply has no hyphen behind its code.
    static func isWholeReply(_ bytes: [UInt8]) -> Bool {
        guard bytes.last == 0x0A else { return false }
        let lines = bytes.split(separator: 0x0A)
        guard let last = lines.last, last.count > 3 else { return true }
        return last[last.startIndex + 3] != UInt8(ascii: "-")
    }
}

/// Addresses of a name, with a bound on the time, which getaddrinfo(3) itself has not.
enum NameLookUp {
    struct Failure: Error, Equatable { var reason: String }

    private typealias Outcome = Result<[SocketAddress], Failure>

    /// A look-up that takes longer is left behind on a thread of its own.
    static func addresses(of host: String, port: UInt16, within seconds: Int) throws(Failure) -> [SocketAddress] {
        let box = OutcomeBox()
        let done = DispatchSemaphore(value: 0)
        DispatchQueue.global().async { @Sendable in
            let outcome = lookUp(host, port: port)
            box.outcome.withLock { $0 = outcome }
            done.signal()
        }
        guard done.wait(timeout: .now() + .seconds(seconds)) == .success, let outcome = box.outcome.withLock({ $0 }) else {
            throw Failure(reason: "the look-up takes longer than \(seconds) s; is the name server reachable?")
        }
        return try outcome.get()
    }

    private final class OutcomeBox: Sendable {
        let outcome = Mutex<Outcome?>(nil)
    }

    private static func lookUp(_ host: String, port: UInt16) -> Outcome {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, "\(port)", &hints, &list)
        guard code == 0 else { return .failure(Failure(reason: String(cString: gai_strerror(code)))) }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next?.pointee {
            if let address = numeric(entry, port: port), !addresses.contains(address) { addresses.append(address) }
            next = entry.ai_next
        }
        return .success(addresses)
    }

    /// Through its text: the one form that `SocketAddress` reads from outside.
    private static func numeric(_ entry: addrinfo, port: UInt16) -> SocketAddress? {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 else { return nil }
        let host = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return try? SocketAddress(parsing: entry.ai_family == AF_INET6 ? "[\(host)]:\(port)" : "\(host):\(port)")
    }
}
