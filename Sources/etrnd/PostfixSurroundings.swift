// Whether a Postfix can use us at all, and what in its main.cf will surprise its operator.

import Glibc
import PostfixQueue

/// What must be so before we serve a Postfix. Each sentence says what to do.
enum PostfixSurroundings {
    static func check(_ mainCf: MainCf, at directory: String, stateDirectory: String) throws(DaemonError) {
        let owner = mainCf["mail_owner"] ?? "postfix"
        if let version = mainCf["mail_version"], MainCf.expectsGreeting(version: version) == false {
            throw DaemonError("Postfix \(version) speaks an older flush protocol; it must be 3.6 or later", .configuration)
        }
        guard let user = getpwnam(owner)?.pointee.pw_uid else {
            throw DaemonError("\(directory)/main.cf: there is no user '\(owner)' (mail_owner)", .configuration)
        }
        guard geteuid() == user else {
            throw DaemonError("with queue_engine = postfix the daemon must run as user \(owner), the mail_owner of this Postfix", .configuration)
        }
        try checkStateDirectory(stateDirectory, owner: owner, user: user)
    }

    /// Postfix's proxymap reads the relay domains as `mail_owner`: with any other owner its look-ups fail after our first clean stop.
    private static func checkStateDirectory(_ path: String, owner: String, user: uid_t) throws(DaemonError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            guard errno != ENOENT else { return }  // It is made, with the right owner and mode.
            throw DaemonError("state_directory \(path): \(String(cString: strerror(errno)))", .storage)
        }
        guard status.st_uid == user, status.st_mode & 0o077 == 0 else {
            throw DaemonError(
                "state_directory \(path) must belong to user \(owner) and be closed to others; "
                    + "run: chown -R \(owner): \(path) && chmod 700 \(path)", .storage)
        }
    }

    static func warnings(_ mainCf: MainCf, at directory: String, log: String) -> [String] {
        var found: [String] = []
        // No error: the relay domains' database, which Postfix shall read, comes to be at our first start.
        if mainCf.asksNativeFlush {
            found.append(
                "\(directory)/main.cf: at our start flush_service_name was 'flush': Postfix's programs ask flush(8), not us; "
                    + "deploy/postfix/setup changes that, and needs no restart of ours")
        }
        if mainCf["fast_flush_domains"] != "static:all" {
            found.append(
                "\(directory)/main.cf: fast_flush_domains is not static:all: Postfix itself refuses ETRN for the domains outside it, "
                    + "and defers their mail without telling us at once")
        }
        if mainCf["smtpd_etrn_restrictions"]?.isEmpty ?? true {
            found.append("\(directory)/main.cf: smtpd_etrn_restrictions is empty: any stranger may send ETRN to Postfix")
        }
        if !log.isEmpty, access(log, R_OK) != 0 {
            found.append("postfix_log \(log): \(String(cString: strerror(errno))); delivered and bounced cannot be told apart")
        }
        return found
    }
}
