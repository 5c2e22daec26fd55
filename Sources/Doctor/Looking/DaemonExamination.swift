// Asks the running daemon about itself, at every address of http_listen.

import DispatchSockets
import FlushClient
import FlushCore
import FlushWire

/// Finds the daemon and puts questions to the first address that answers them.
struct DaemonExamination {
    static let connectLimit = Duration.seconds(2)
    /// A daemon that reads a large queue answers when it has.
    static let answerLimit = Duration.seconds(10)
    /// Postfix's limits are minutes; a server that is well greets at once.
    static let bannerLimit = Duration.seconds(5)

    let loop: EventLoop
    let pool: IOPool
    /// The items of `http_listen`.
    let addresses: [String]
    /// The items of `smtp_listen`.
    let smtpAddresses: [String]

    /// Looks at every address, and calls `ask` with a client for the one that answers questions; nil when none does.
    func look(_ ask: (APIClient) async -> DomainFacts.Record?) async -> (facts: DaemonFacts, record: DomainFacts.Record?) {
        var facts = DaemonFacts(doors: [])
        var record: DomainFacts.Record?
        // By the UNIX socket root is always let in; over TCP it depends on http_trusted_networks.
        for address in Self.unixFirst(addresses) {
            guard let client = client(for: address) else {
                facts.doors.append(.init(address: address, answer: .unknowable))
                continue
            }
            let knock = await pool.run { Self.knock(at: address) }
            facts.server = facts.server ?? knock.server
            if let problem = knock.problem {
                facts.doors.append(.init(address: address, answer: problem.isRefusedAccess ? .forbidden : .unreachable(problem.reason)))
            } else {
                await look(at: client, called: address, &facts)
            }
            if facts.askedAt == address { record = await ask(client) }
            await client.shutdown()
        }
        if facts.doors.contains(where: { $0.answer == .alive }) { facts.smtpDoors = await pool.run { smtpAddresses.compactMap(Self.smtpDoor) } }
        return (facts, record)
    }

    private func look(at client: APIClient, called address: String, _ facts: inout DaemonFacts) async {
        do throws(FlushClientError) {
            let impediments = try await client.impediments()
            facts.doors.append(.init(address: address, answer: .alive))
            guard facts.askedAt == nil else { return }
            facts.impediments = impediments
        } catch {
            facts.doors.append(.init(address: address, answer: Self.answer(error)))
            return
        }
        do throws(FlushClientError) {
            let policy = try await client.policy()
            facts.askedAt = address
            facts.refusal = nil
            facts.warnings = policy.warnings
            facts.engine = policy.parameters.first { $0.name == "queue_engine" }?.value
        } catch {
            if facts.refusal == nil { facts.refusal = "\(error)" }
        }
    }

    private static func answer(_ error: FlushClientError) -> DaemonFacts.Door.Answer {
        switch error {
        case .unreachable(_, let reason): .unreachable(reason)
        case .noAnswer(_, _, let reason): .unreachable("it takes the connection, but \(reason)")
        case .foreignAnswer(_, let status, let reason): .strange("status \(status), \(reason)")
        case .refused, .problem, .invalid, .cancelled: .strange("\(error)")
        }
    }

    static func unixFirst(_ addresses: [String]) -> [String] {
        addresses.filter { $0.hasPrefix("unix:") } + addresses.filter { !$0.hasPrefix("unix:") }
    }

    /// Nil for a port that the kernel chooses.
    private func client(for listening: String) -> APIClient? {
        guard let url = Self.url(of: listening), let address = try? ServerAddress(parsing: url) else { return nil }
        var options = FlushClientOptions()
        options.connectTimeout = Self.connectLimit
        options.timeout = Self.answerLimit
        options.maximumConnections = 1
        options.retries = 0
        options.userAgent = "etrnd-doctor"
        return APIClient(to: address, options: options, loop: loop)
    }

    /// The URL by which a listener is reached from this machine; nil for a port that the kernel chooses.
    static func url(of listening: String) -> String? {
        guard let address = try? reachable(listening), address.port != 0 else { return nil }
        return address.isUnix ? listening : "http://\(address)"
    }

    /// How an address that is listened on is reached from this machine: who listens on all addresses listens on this one.
    private static func reachable(_ listening: String) throws(SocketError) -> SocketAddress {
        let address = try SocketAddress(parsing: listening)
        return switch address {
        case .ipv4(0, let port): .ipv4(0x7F00_0001, port: port)
        case .ipv6(0, let port, _): .ipv6(1, port: port, scope: 0)
        case .ipv4, .ipv6, .unix: address
        }
    }

    /// Whether somebody is there at all, and who it is behind a UNIX socket.
    private static func knock(at listening: String) -> (problem: SocketError?, server: PeerProcess?) {
        do throws(SocketError) {
            let connection = try ProbeConnection(to: reachable(listening), within: connectLimit)
            return (nil, connection.server)
        } catch {
            return (error, nil)
        }
    }

    /// Nil for a port that the kernel chooses.
    private static func smtpDoor(_ listening: String) -> DaemonFacts.SMTPDoor? {
        do throws(SocketError) {
            let address = try reachable(listening)
            guard address.port != 0 else { return nil }
            let connection = try ProbeConnection(to: address, within: connectLimit)
            let said = connection.greeting(within: bannerLimit, until: NextHopExamination.isWholeReply)
            if case .heard = said { _ = connection.send(Array("QUIT\r\n".utf8)) }
            return .init(address: listening, conversation: said)
        } catch {
            return .init(address: listening, conversation: .unreachable(error.reason))
        }
    }
}
