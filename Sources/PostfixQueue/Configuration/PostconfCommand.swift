// Runs postconf(1) with bounds on its output and its time.

import Glibc

enum PostconfCommand {
    /// The parameters we ask for fit many times.
    static let maximumOutput = 1 << 20
    /// A table in a value does not make it slow: postconf prints it as it is.
    static let patience: Duration = .seconds(10)
    static let program = "postconf"

    /// What it printed.
    static func run(_ arguments: [String]) throws(MainCfError) -> String {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { throw failure("pipe", errno) }
        let (reading, writing) = (ends[0], ends[1])
        defer { close(reading) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let process = try spawn([program] + arguments, output: writing)
        let output = collect(from: reading)
        // Whatever ended the reading: a process that is still there then is of no use.
        if output == nil { kill(process, SIGKILL) }
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard let output else { throw MainCfError("\(program) did not end within \(patience), or printed more than \(maximumOutput) bytes") }
        guard status == 0 else { throw MainCfError("\(program) \(arguments.joined(separator: " ")) failed: \(firstLine(output))") }
        return String(decoding: output, as: UTF8.self)
    }

    private static func firstLine(_ output: [UInt8]) -> String {
        let line = String(decoding: output.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        return line.isEmpty ? "is Postfix installed?" : DeferLog.oneLine(line)
    }

    private static func spawn(_ arguments: [String], output: CInt) throws(MainCfError) -> pid_t {
        defer { close(output) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        // A fatal error is told there, and shown with what was printed before it.
        posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)
        // strdup'ed for the call: posix_spawn wants a NULL-terminated array of C strings, and copies them into the child.
        var texts: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        defer { for text in texts { free(text) } }
        texts.append(nil)
        var process: pid_t = 0
        let code = posix_spawnp(&process, program, &actions, nil, texts, environ)
        guard code == 0 else { throw failure("run \(program)", code) }
        return process
    }

    /// Everything until the end; nil when that takes too long or is too much.
    private static func collect(from descriptor: CInt) -> [UInt8]? {
        let deadline = ContinuousClock.now + patience
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while output.count <= maximumOutput {
            let left = (deadline - ContinuousClock.now).components
            let milliseconds = left.seconds * 1_000 + left.attoseconds / 1_000_000_000_000_000
            guard milliseconds > 0 else { return nil }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, CInt(clamping: milliseconds)) > 0 else {
                if errno == EINTR { continue }
                return nil
            }
            let got = read(descriptor, &chunk, chunk.count)
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return got == 0 ? output : nil }
            output += chunk[..<got]
        }
        return nil
    }

    private static func failure(_ operation: String, _ code: CInt) -> MainCfError {
        MainCfError("\(operation): \(String(cString: strerror(code)))")
    }
}
