// Runs one of Postfix's commands, postconf(1) or postmap(1), with bounds on its output and its time.

import Glibc

struct PostfixCommand {
    /// The parameters we ask for fit many times.
    static let maximumOutput = 1 << 20
    /// What a pipe takes at once on every Linux (pipe(7)): nobody reads while we write.
    static let maximumInput = 4_096
    /// A table in a value does not make postconf slow: it prints it as it is. postmap asks a table's server.
    static let patience: Duration = .seconds(10)

    static let postconf = PostfixCommand(program: "postconf")
    static let postmap = PostfixCommand(program: "postmap")

    let program: String

    /// What it printed; a failure is an error.
    func run(_ arguments: [String]) throws(MainCfError) -> String {
        let (isSuccess, output) = try result(of: arguments)
        guard isSuccess else { throw MainCfError("\(program) \(arguments.joined(separator: " ")) failed: \(Self.firstLine(output))") }
        return output
    }

    /// Whether it ended well, and what it printed, errors included.
    ///
    /// - Parameter input: what it reads from its standard input, at most `maximumInput` bytes.
    func result(of arguments: [String], input: String = "") throws(MainCfError) -> (isSuccess: Bool, output: String) {
        let source = try Self.source(of: input)
        defer { close(source) }
        let (reading, writing) = try Self.pipeEnds()
        defer { close(reading) }
        let process = try spawn([program] + arguments, input: source, output: writing)
        let output = Self.collect(from: reading)
        // Whatever ended the reading: a process that is still there then is of no use.
        if output == nil { kill(process, SIGKILL) }
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard let output else {
            throw MainCfError("\(program) did not end within \(Self.patience), or printed more than \(Self.maximumOutput) bytes")
        }
        return (status == 0, String(decoding: output, as: UTF8.self))
    }

    /// A descriptor from which the text can be read, and then the end.
    private static func source(of input: String) throws(MainCfError) -> CInt {
        let bytes = Array(input.utf8)
        guard bytes.count <= maximumInput else { throw MainCfError("more than \(maximumInput) bytes of input") }
        let (reading, writing) = try pipeEnds()
        defer { close(writing) }
        guard write(writing, bytes, bytes.count) == bytes.count else {
            let code = errno
            close(reading)
            throw failure("pipe", code)
        }
        return reading
    }

    private static func pipeEnds() throws(MainCfError) -> (reading: CInt, writing: CInt) {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { throw failure("pipe", errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func firstLine(_ output: String) -> String {
        let line = output.prefix { $0 != "\n" }
        return line.isEmpty ? "is Postfix installed?" : DeferLog.oneLine(String(line))
    }

    private func spawn(_ arguments: [String], input: CInt, output: CInt) throws(MainCfError) -> pid_t {
        defer { close(output) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        // A fatal error is told there, and shown with what was printed before it.
        posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)
        // strdup'ed for the call: posix_spawn wants a NULL-terminated array of C strings, and copies them into the child.
        var texts: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        defer { for text in texts { free(text) } }
        texts.append(nil)
        // A thread of Dispatch blocks nearly all signals, and the daemon ignores those that it watches: a child shall have none of that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var process: pid_t = 0
        let code = posix_spawnp(&process, program, &actions, &attributes, texts, environ)
        guard code == 0 else { throw Self.failure("run \(program)", code) }
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
