// Whether Postfix asks us at all: its parameters, its queue, its queue manager.

import PostfixQueue

extension Diagnosis {
    static func unreadableMainCf(_ problem: String) -> Finding {
        .failure("main.cf", problem, advice: "set postfix_config_directory in etrnd.cf to the directory of main.cf, and try postconf -n there")
    }

    static func postfix(_ postfix: PostfixFacts, daemon: DaemonFacts) -> [Finding] {
        let directory = postfix.configurationDirectory
        var findings = [
            version(postfix.mainCf["mail_version"]),
            flushServiceName(postfix.mainCf, at: directory),
            fastFlushDomains(postfix.mainCf["fast_flush_domains"] ?? "", at: directory),
            etrnRestrictions(postfix.mainCf["smtpd_etrn_restrictions"] ?? "", at: directory),
        ]
        guard let owner = postfix.owner else {
            let text = "the system has no user '\(postfix.mainCf["mail_owner"] ?? "")', who is mail_owner in main.cf"
            return findings + [.failure("mail_owner", text, advice: "install Postfix again, or correct mail_owner")]
        }
        findings.append(queueDirectories([postfix.queueDirectory] + postfix.messageDirectories, owner: owner))
        findings.append(publicDirectory(postfix.publicDirectory, owner: owner))
        findings.append(flushSocket(postfix.flushSocket, postfix.conversation, server: postfix.server, daemon: daemon.server, owner: owner))
        findings.append(queueManager(postfix.manager, at: directory))
        findings.append(mailLog(postfix.log, reader: postfix.server?.identity ?? owner))
        findings += clock(postfix.clock)
        return findings
    }

    static func version(_ version: String?) -> Finding {
        let subject = "Postfix"
        guard let version, let expectsGreeting = MainCf.expectsGreeting(version: version) else {
            return .warning(
                subject, "its version cannot be told from '\(version ?? "")'", advice: "it must be 3.6 or later; see postconf mail_version")
        }
        guard expectsGreeting else {
            return .failure(
                subject, "version \(version) speaks an older flush protocol, without a greeting: its programs and the daemon wait for each other",
                advice: "update Postfix to 3.6 or later, or go back to flush(8) with flush_service_name = flush")
        }
        return .ok(subject, "version \(version)")
    }

    static func flushServiceName(_ mainCf: MainCf, at directory: String) -> Finding {
        let subject = "flush_service_name"
        let name = mainCf.flushServiceName
        guard mainCf.asksNativeFlush else { return .ok(subject, "Postfix's programs ask at public/\(name)") }
        return .failure(
            subject, "it is '\(name)' in main.cf: Postfix's programs ask its own flush(8), and not etrnd",
            advice: "postconf -c \(directory) -e flush_service_name=etrnd && postfix -c \(directory) reload")
    }

    static func fastFlushDomains(_ value: String, at directory: String) -> Finding {
        let subject = "fast_flush_domains in main.cf"
        let advice = "postconf -c \(directory) -e fast_flush_domains=static:all && postfix -c \(directory) reload"
        if value == "static:all" { return .ok(subject, "static:all, so that etrnd decides") }
        if value.isEmpty {
            return .failure(subject, "it is empty: Postfix refuses every ETRN itself (459) and tells nobody of deferred mail", advice: advice)
        }
        if value.contains("proxy:") {
            return .warning(
                subject, "'\(value)' has a proxy: table: postqueue -s hangs for a hundred seconds when an ordinary user calls it", advice: advice)
        }
        return .warning(
            subject, "with '\(value)' Postfix itself refuses ETRN for every other domain (459), and does not tell of its deferred mail",
            advice: advice)
    }

    static func etrnRestrictions(_ value: String, at directory: String) -> Finding {
        let subject = "smtpd_etrn_restrictions"
        guard value.isEmpty else { return .ok(subject, value) }
        return .warning(
            subject, "it is empty: any stranger who reaches Postfix's port may send ETRN",
            advice: "postconf -c \(directory) -e 'smtpd_etrn_restrictions=permit_mynetworks, reject' && postfix -c \(directory) reload")
    }

    static func queueDirectories(_ directories: [FileFacts], owner: Identity) -> Finding {
        let subject = "queue directories"
        for (place, directory) in directories.enumerated() {
            switch directory.kind {
            case .directory: break
            case .hidden(let reason):
                return .warning(subject, "\(directory.path) cannot be looked at: \(reason)", advice: "run this as root or \(owner.name)")
            default:
                return .failure(subject, "\(directory.path) is no directory or not there", advice: "postfix check makes what is missing")
            }
            // The queue directory itself is root's and only walked through.
            let needed: [FileFacts.Access] = place == 0 ? [.search] : [.read, .write, .search]
            guard directory.gives(needed, to: owner) else {
                return .failure(
                    subject,
                    "\(directory.described) is closed to \(owner.name), as whom the daemon runs",
                    advice: place == 0 ? "chmod 755 \(directory.path)" : "chown \(owner.name) \(directory.path) && chmod 700 \(directory.path)")
            }
        }
        return .ok(subject, "\(owner.name) can work in \(directories.first?.path ?? "them")")
    }

    static func queueManager(_ manager: PostfixFacts.QueueManager, at directory: String) -> Finding {
        let subject = "queue manager"
        switch (manager.answer, manager.isMasterRunning) {
        case (.taken, _): return .ok(subject, "answers")
        case (.pending, _):
            return .warning(
                subject, "takes requests and does not read them: it is busy or stuck, and nothing goes out meanwhile",
                advice: "look at Postfix's log, and at the disk; a stuck one is ended by postfix -c \(directory) stop and start")
        case (.forbidden, _):
            return .warning(subject, "this user may not ask it", advice: "run this as root or Postfix's mail_owner")
        case (.unreachable(let reason), false):
            return .failure(subject, "Postfix is not running (\(reason)): nothing goes out", advice: "postfix -c \(directory) start")
        case (.unreachable(let reason), true):
            return .failure(
                subject, "Postfix runs, but its queue manager cannot be reached: \(reason)",
                advice: "look at Postfix's log for qmgr, and at the qmgr line of \(directory)/master.cf; then postfix -c \(directory) reload")
        case (.unreachable(let reason), nil):
            return .failure(
                subject, "it cannot be reached: \(reason)", advice: "see postfix -c \(directory) status; run this as root to be told more")
        }
    }

    static func mailLog(_ log: PostfixFacts.MailLog?, reader: Identity) -> Finding {
        let subject = "postfix_log"
        guard let log else { return .ok(subject, "not set: mail that leaves is told as departed, not as delivered or bounced") }
        let file = log.file
        switch file.kind {
        case .regular: break
        case .missing:
            return .warning(
                subject, "\(file.path) is not there: delivered and bounced cannot be told apart",
                advice: "set it to the file that Postfix logs to (see maillog_file, or where syslog puts mail.*)")
        case .hidden(let reason):
            return .warning(subject, "\(file.path) cannot be looked at: \(reason)", advice: "run this as root or \(reader.name)")
        default: return .warning(subject, "\(file.path) is no plain file", advice: "set it to the file that Postfix logs to")
        }
        if let directory = log.closedDirectory {
            return .warning(
                subject, "\(reader.name) is kept out of \(directory), so delivered and bounced cannot be told apart",
                advice: "let \(reader.name) search \(directory), by its mode or a group")
        }
        guard file.gives([.read], to: reader) else {
            return .warning(
                subject, "\(file.described) cannot be read by \(reader.name)",
                advice: "give the daemon the log's group (SupplementaryGroups=adm in its unit) and start it again")
        }
        return .ok(subject, "\(file.path) can be read")
    }
}
