// From facts to findings. Pure: whoever doubts a finding can put the facts into a test.

/// What the facts mean, in the order of causes: what comes first may explain what comes later.
enum Diagnosis {
    static func findings(_ facts: Facts) -> [Finding] {
        var findings = configuration(file: facts.configurationFile, warnings: facts.configurationWarnings)
        findings.append(doctor(facts.doctor, daemon: facts.daemonIdentity ?? facts.postfix?.owner))
        findings += state(facts.state, owner: facts.postfix.map(\.owner) ?? facts.daemonIdentity, isClosed: facts.postfix != nil)
        findings += facts.disks.map(disk)
        if let problem = facts.postfixProblem { findings.append(unreadableMainCf(problem)) }
        if let postfix = facts.postfix { findings += self.postfix(postfix, daemon: facts.daemon) }
        findings += daemon(withoutToldWarnings(facts), engine: facts.engine)
        if let domain = facts.domain { findings += self.domain(domain, postfix: facts.postfix) }
        return findings
    }

    /// What the daemon warns of was found here already, and main.cf may have been changed since it has read it.
    private static func withoutToldWarnings(_ facts: Facts) -> DaemonFacts {
        var daemon = facts.daemon
        daemon.warnings.removeAll { warning in
            facts.configurationWarnings.contains(warning)
                || facts.postfix.map { warning.hasPrefix("\($0.configurationDirectory)/main.cf:") || warning.hasPrefix("postfix_log ") } ?? false
        }
        return daemon
    }

    static func configuration(file: String?, warnings: [String]) -> [Finding] {
        let from = file.map { "\($0) is good" } ?? "there is no configuration file; defaults and environment are good"
        return [.ok("configuration", from)] + warnings.map { .warning("configuration", $0, advice: "see etrnd.cf(5)") }
    }

    /// Others than root and the daemon's user are not let in everywhere, and what they find wrong may be their own trouble.
    static func doctor(_ doctor: Identity, daemon: Identity?) -> Finding {
        guard let daemon, doctor.user != 0, doctor.user != daemon.user else { return .ok("user", "this runs as \(doctor.name)") }
        return .warning(
            "user", "this runs as \(doctor.name) and the daemon as \(daemon.name): what only they may see is told as failing",
            advice: "run it again as root or \(daemon.name)")
    }

    // MARK: The state directory and the disk

    /// - Parameters:
    ///   - owner: whose it must be; nil when that is not known.
    ///   - isClosed: whether nobody else may even look inside.
    static func state(_ state: StateFacts, owner: Identity?, isClosed: Bool) -> [Finding] {
        let subject = "state_directory"
        let path = state.directory.path
        switch state.directory.kind {
        case .missing where state.parent.kind == .directory:
            return [.warning(subject, "\(path) is not there yet", advice: "nothing; the daemon makes it when it starts")]
        case .missing:
            let directory = state.parent.path
            return [.failure(subject, "\(path) is not there, nor is \(directory)", advice: "make \(directory), or set state_directory in etrnd.cf")]
        case .hidden(let reason):
            return [.warning(subject, "\(path) cannot be looked at: \(reason)", advice: "run this as root or the daemon's user")]
        case .regular, .socket, .fifo, .other:
            return [.failure(subject, "\(path) is no directory", advice: "set state_directory in etrnd.cf")]
        case .directory: break
        }
        let forbidden: UInt32 = isClosed ? 0o077 : 0o022
        if state.directory.mode & forbidden != 0 {
            let what = isClosed ? "is open to others" : "can be written to by others"
            return [.failure(subject, "\(path) has mode \(state.directory.modeText) and \(what)", advice: "chmod 700 \(path)")]
        }
        guard let owner else { return [.ok(subject, "\(path), mode \(state.directory.modeText), belongs to \(state.directory.ownerName)")] }
        let foreign = ([state.directory] + state.files).filter { $0.owner != owner.user }
        guard let first = foreign.first else {
            let what = state.files.isEmpty ? "belongs" : "and what is in it belong"
            return [.ok(subject, "\(path) \(what) to \(owner.name), mode \(state.directory.modeText)")]
        }
        return [
            .failure(
                subject, "\(first.path) belongs to \(first.ownerName), but the daemon is \(owner.name)",
                advice: "stop the daemon, chown -R \(owner.name): \(path), and start it")
        ]
    }

    static func disk(_ disk: DiskFacts) -> Finding {
        let subject = "disk"
        if let files = disk.availableFiles, files == 0 {
            return .failure(subject, "no file can be made any more below \(disk.path)", advice: "free inodes there (df -i \(disk.path))")
        }
        guard disk.available >= disk.required else {
            return .failure(
                subject,
                "\(size(disk.available)) free below \(disk.path), which is less than \(size(disk.required)) (\(disk.because)): no mail is taken",
                advice: "free space there (df \(disk.path))")
        }
        return .ok(subject, "\(size(disk.available)) free below \(disk.path)")
    }

    static func size(_ bytes: Int) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var number = bytes
        var unit = 0
        while number >= 10_240, unit < units.count - 1 {
            number /= 1_024
            unit += 1
        }
        return "\(number) \(units[unit])"
    }
}
