// Whether Postfix's programs reach us: the socket below public/, and who is behind it.

extension Diagnosis {
    /// master(8) and the set-gid commands come here by the group, Postfix's own programs as the owner.
    static func publicDirectory(_ directory: FileFacts, owner: Identity) -> Finding {
        let subject = "public/"
        switch directory.kind {
        case .directory: break
        case .hidden(let reason):
            return .warning(subject, "\(directory.path) cannot be looked at: \(reason)", advice: "run this as root or \(owner.name)")
        default: return .failure(subject, "\(directory.path) is no directory or not there", advice: "postfix check makes it")
        }
        guard directory.owner == owner.user, directory.mode & 0o700 == 0o700 else {
            return .failure(
                subject,
                "\(directory.described) is closed to \(owner.name): no socket can be made there",
                advice: "postfix set-permissions, or chown \(owner.name) and chmod 710 \(directory.path)")
        }
        guard directory.mode & 0o010 != 0 else {
            return .failure(
                subject, "\(directory.path) has mode \(directory.modeText): the group cannot pass, so postqueue and sendmail reach nobody",
                advice: "postfix set-permissions, or chmod 710 \(directory.path)")
        }
        return .ok(subject, "belongs to \(directory.ownerName), mode \(directory.modeText)")
    }

    /// - Parameters:
    ///   - server: who is behind the socket.
    ///   - daemon: who is behind the daemon's own UNIX socket, to tell whether it is the same.
    static func flushSocket(
        _ socket: FileFacts, _ conversation: Conversation, server: PeerProcess?, daemon: PeerProcess?, owner: Identity
    ) -> Finding {
        let subject = "flush socket"
        let path = socket.path
        let lost = "ETRN is answered 458, and what is deferred meanwhile is recorded by the next scan only"
        switch socket.kind {
        case .socket: break
        case .missing: return .failure(subject, "\(path) is not there: \(lost)", advice: "start etrnd (systemctl start etrnd) and read its log")
        case .hidden(let reason):
            return .warning(subject, "\(path) cannot be looked at: \(reason)", advice: "run this as root or \(owner.name)")
        default: return .failure(subject, "\(path) is no socket: \(lost)", advice: "rm \(path), and start etrnd again")
        }
        switch conversation {
        case .unreachable(let reason):
            return .failure(subject, "nobody listens at \(path) (\(reason)): \(lost)", advice: "start etrnd (systemctl restart etrnd)")
        case .silent:
            return .failure(
                subject, "\(path) takes connections and says nothing: Postfix's delivery agents hang there, which is worse than nobody listening",
                advice: "end the process behind it\(server.map { " (\($0.id))" } ?? "") and start etrnd again")
        case .closed:
            return .failure(subject, "whoever listens at \(path) hangs up without a greeting", advice: "start etrnd again and read its log")
        case .heard(let text) where text != flushGreeting:
            return .failure(
                subject, "whoever listens at \(path) does not speak the flush protocol: '\(text)'",
                advice: "end\(server.map { " process \($0.id)," } ?? "") whatever took the name, or choose another flush_service_name")
        case .heard: break
        }
        if socket.owner != owner.user {
            return .failure(
                subject, "\(path) belongs to \(socket.ownerName), not to \(owner.name): the daemon runs as the wrong user",
                advice: "run etrnd as \(owner.name) (User= in its unit)")
        }
        if socket.mode & 0o666 != 0o666 {
            return .failure(
                subject, "\(path) has mode \(socket.modeText): some of Postfix's programs are kept out", advice: "chmod 666 \(path)")
        }
        if let server, let daemon, server.id != daemon.id {
            return .warning(
                subject, "process \(server.id) (\(server.command ?? "unknown")) serves \(path), and process \(daemon.id) the HTTP API",
                advice: "stop one of them; two daemons on one Postfix know only half each")
        }
        let behind = server.map { ", process \($0.id) as \($0.identity.name)" } ?? ""
        return .ok(subject, "\(path) greets\(behind)")
    }

    /// As `ProbeConnection` shows the greeting: NUL for NUL a space.
    static let flushGreeting = "protocol queue_flush_protocol"

    // MARK: The clock

    /// How far the clocks may be apart: Postfix begins to complain beyond it.
    static let clockTolerance = Duration.seconds(1)

    static func clock(_ clock: PostfixFacts.Clock) -> [Finding] {
        let subject = "clock"
        var findings: [Finding] = []
        if let skew = clock.skew, skew > clockTolerance || skew < .zero - clockTolerance {
            let seconds = skew.components.seconds
            let direction = seconds > 0 ? "ahead of" : "behind"
            findings.append(
                .failure(
                    subject, "the queue's file system is \(abs(seconds)) s \(direction) this system's clock: released mail is not taken for due",
                    advice: "synchronize the clocks of this machine and of its file server (NTP)"))
        }
        if clock.changedLater > 0 {
            findings.append(
                .warning(
                    subject, "\(clock.changedLater) of \(messages(clock.filesLooked)) in deferred were changed in the future: the clock was set back",
                    advice: "check the clock (timedatectl); an ETRN tries such mail nevertheless"))
        }
        if clock.dueTooLate > 0 {
            findings.append(
                .warning(
                    subject,
                    "\(clock.dueTooLate) of \(messages(clock.filesLooked)) in deferred are due later than maximal_backoff_time allows: the clock was "
                        + "set back, or that parameter was lowered",
                    advice: "check the clock (timedatectl); an ETRN tries such mail nevertheless"))
        }
        if !findings.isEmpty { return findings }
        let compared = clock.skew == nil ? "the queue's file system does not let it be compared" : "the queue's file system agrees with it"
        return [.ok(subject, "\(compared); \(messages(clock.filesLooked)) in deferred looked at")]
    }
}
