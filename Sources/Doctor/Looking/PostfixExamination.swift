// Gathers what is to be seen of a Postfix.

import DispatchSockets
import FlushCore
import Glibc
import PostfixQueue

/// Looks at Postfix's parameters, directories, sockets and clock. Blocks, every wait bounded.
struct PostfixExamination {
    /// Local programs greet at once; one that takes this long stalls delivery agents.
    static let greetingLimit = Duration.seconds(2)
    static let connectLimit = Duration.seconds(2)
    /// How long the queue manager may be busy with something else.
    static let triggerLimit = Duration.seconds(3)
    /// `I`: scan incoming, which it does for each message anyway.
    private static let trigger: [UInt8] = [0x49, 0]

    let directory: String
    /// The value of `postfix_log`; empty for none.
    let log: String
    let mainCf: MainCf

    func look() -> PostfixFacts {
        let queue = mainCf.queueDirectory
        let owner = Accounts.identity(named: mainCf["mail_owner"] ?? "postfix")
        let (conversation, server) = flushSocket()
        return PostfixFacts(
            configurationDirectory: directory, mainCf: mainCf, owner: owner,
            queueDirectory: Files.look(at: queue), publicDirectory: Files.look(at: "\(queue)/public"),
            messageDirectories: ["deferred", "incoming", "active", "hold", "defer"].map { Files.look(at: "\(queue)/\($0)") },
            flushSocket: Files.look(at: mainCf.flushSocketPath), conversation: conversation, server: server,
            manager: queueManager(), log: mailLog(reader: server?.identity ?? owner), clock: clock())
    }

    private func flushSocket() -> (Conversation, PeerProcess?) {
        do throws(SocketError) {
            let connection = try ProbeConnection(to: .unix(path: mainCf.flushSocketPath), within: Self.connectLimit)
            // Two NULs end an attribute list.
            let said = connection.greeting(within: Self.greetingLimit) { $0.count > 1 && $0.suffix(2) == [0, 0] }
            return (said, connection.server)
        } catch {
            return (.unreachable(error.reason), nil)
        }
    }

    /// Never without a word: the queue manager waits for one, and all mail with it.
    private func queueManager() -> PostfixFacts.QueueManager {
        let path = "\(mainCf.queueDirectory)/public/qmgr"
        let pidFile = "\(mainCf.queueDirectory)/\(mainCf["process_id_directory"] ?? "pid")/master.pid"
        let master = Processes.isRunning(pidFile: pidFile, command: "master")
        return PostfixFacts.QueueManager(answer: answer(at: path), isMasterRunning: master)
    }

    private func answer(at path: String) -> PostfixFacts.QueueManager.Answer {
        let file = Files.look(at: path)
        switch file.kind {
        case .fifo: return pushed(into: path)
        case .hidden: return .forbidden
        case .missing: return .unreachable("\(path) is not there")
        default: break
        }
        do throws(SocketError) {
            let connection = try ProbeConnection(to: .unix(path: path), within: Self.connectLimit)
            guard connection.send(Self.trigger) else { return .unreachable("\(path): it hangs up") }
            // It closes when it has read.
            return connection.receive(within: Self.triggerLimit) { _ in false }.end == .timedOut ? .pending : .taken
        } catch {
            return error.isRefusedAccess ? .forbidden : .unreachable("\(path): \(error.reason)")
        }
    }

    private func pushed(into path: String) -> PostfixFacts.QueueManager.Answer {
        let descriptor = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return .unreachable("\(path): \(Files.text(of: errno))") }
        defer { close(descriptor) }
        return write(descriptor, Self.trigger, Self.trigger.count) == Self.trigger.count ? .taken : .pending
    }

    private func mailLog(reader: Identity?) -> PostfixFacts.MailLog? {
        guard !log.isEmpty else { return nil }
        return PostfixFacts.MailLog(
            file: Files.look(at: log), closedDirectory: reader.flatMap { Files.closedDirectory(onTheWayTo: log, for: $0) })
    }

    private func clock() -> PostfixFacts.Clock {
        var clock = QueueClock(
            deferred: "\(mainCf.queueDirectory)/deferred", maximalBackoff: PostfixTime.seconds(mainCf["maximal_backoff_time"] ?? "") ?? 4_000)
        return clock.look()
    }
}

extension SocketError {
    /// Another user would get further.
    var isRefusedAccess: Bool { if case .system(_, EACCES) = self { true } else { false } }

    /// Without the operation's name, which means little to an operator.
    var reason: String {
        if case .system(_, let code) = self { return Files.text(of: code) }
        return description
    }
}
