// Whether the daemon runs and is ready.

extension Diagnosis {
    static func daemon(_ daemon: DaemonFacts, engine: String) -> [Finding] {
        let subject = "daemon"
        guard daemon.doors.contains(where: { $0.answer == .alive }) else { return dead(daemon.doors) }
        var findings = daemon.doors.map(door) + daemon.smtpDoors.map(smtpDoor)
        guard let address = daemon.askedAt else {
            findings.append(
                .warning(
                    subject, "it lives, but does not answer our questions: \(daemon.refusal ?? "no reason was given")",
                    advice: "run this as root or the daemon's user, or name our network in http_trusted_networks"))
            return findings
        }
        findings += daemon.impediments.map {
            .failure("readiness", $0, advice: "if it just started, wait until the queue was read; else read its log")
        }
        if daemon.impediments.isEmpty { findings.append(.ok("readiness", "ready, as asked at \(address)")) }
        findings += daemon.warnings.map { .warning("running configuration", $0, advice: "see etrnd.cf(5), then start the daemon again") }
        if let running = daemon.engine, running != engine {
            findings.append(
                .failure(
                    "queue_engine", "the daemon runs with \(running), the configuration that was read here says \(engine)",
                    advice: "start the daemon again, or name its file with --config"))
        }
        return findings
    }

    /// No address answers.
    private static func dead(_ doors: [DaemonFacts.Door]) -> [Finding] {
        let advice = "start it (systemctl start etrnd) and read its log; if it runs, http_listen in etrnd.cf is not what it was started with"
        let findings = doors.compactMap { door -> Finding? in
            switch door.answer {
            case .alive, .unknowable: nil
            case .forbidden: forbidden(door.address)
            case .unreachable(let reason), .strange(let reason):
                .failure("daemon", "it does not answer at \(door.address): \(reason)", advice: advice)
            }
        }
        guard findings.isEmpty else { return findings }
        return [
            .warning(
                "daemon", "it cannot be asked: every port of http_listen is chosen at its start",
                advice: "add unix:$state_directory/etrnd.sock to http_listen, or name the address that its log tells with -o http_listen=")
        ]
    }

    private static func forbidden(_ address: String) -> Finding {
        .warning("daemon", "this user may not ask at \(address)", advice: "run this as root or the daemon's user")
    }

    private static func smtpDoor(_ door: DaemonFacts.SMTPDoor) -> Finding {
        let subject = "smtp_listen"
        if case .heard(let banner) = door.conversation, banner.hasPrefix("220") { return .ok(subject, "\(door.address) greets: \(banner)") }
        return .failure(
            subject, "SMTP clients are not served at \(door.address): \(refusal(door.conversation))",
            advice: "start the daemon again if smtp_listen was changed; else end what is in its place")
    }

    /// One address, when another one may be alive.
    private static func door(_ door: DaemonFacts.Door) -> Finding {
        let subject = "daemon"
        switch door.answer {
        case .alive: return .ok(subject, "answers at \(door.address)")
        case .forbidden: return forbidden(door.address)
        case .unknowable: return .ok(subject, "\(door.address) is not asked: its port is chosen at each start")
        case .unreachable(let reason):
            return .warning(
                subject, "it does not answer at \(door.address): \(reason)",
                advice: "compare http_listen in etrnd.cf with what its log says it listens to")
        case .strange(let what):
            return .warning(
                subject, "who answers at \(door.address) is not the daemon: \(what)",
                advice: "choose another address in http_listen, or end that program")
        }
    }
}
