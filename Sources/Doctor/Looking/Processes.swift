// What /proc tells of a process.

import Configuration
import Glibc

enum Processes {
    /// A status file has about two kilobytes.
    private static let maximumFile = 64 << 10

    /// The process behind a socket, with the groups that it has now; with its own group alone where those may not be seen.
    static func peer(_ process: Int32, user: UInt32, group: UInt32) -> PeerProcess {
        var groups: Set<UInt32> = [group]
        let status = (try? FileReader.text(of: "/proc/\(process)/status", limit: maximumFile)) ?? ""
        for line in status.split(separator: "\n") where line.hasPrefix("Groups:") {
            groups.formUnion(line.split { $0.isWhitespace }.compactMap { UInt32($0) })
        }
        return PeerProcess(
            id: process, identity: Identity(user: user, name: Accounts.name(of: user), groups: groups), command: command(of: process))
    }

    /// The command's name, at most 15 bytes of it; nil when there is no such process or it may not be seen.
    static func command(of process: Int32) -> String? {
        guard let text = try? FileReader.text(of: "/proc/\(process)/comm", limit: maximumFile) else { return nil }
        return String(text.prefix { $0 != "\n" })
    }

    /// Whether the process whose number is in this file runs, and is `command`; nil when the file may not be read.
    static func isRunning(pidFile path: String, command: String) -> Bool? {
        guard access(path, R_OK) == 0 else { return errno == ENOENT ? false : nil }
        guard let text = try? FileReader.text(of: path, limit: maximumFile), let number = Int32(text.filter { !$0.isWhitespace }), number > 0
        else { return false }
        return self.command(of: number) == command && !isDead(number)
    }

    /// Whether it has ended and its parent has not asked how: it has its name still.
    private static func isDead(_ process: Int32) -> Bool {
        guard let text = try? FileReader.text(of: "/proc/\(process)/status", limit: maximumFile) else { return true }
        return text.split(separator: "\n").contains { $0.hasPrefix("State:") && ($0.contains("Z (") || $0.contains("X (")) }
    }
}
