// Follows Postfix's log file: what became of recipients that are gone from the queue. May block.

import FlushCore
import Glibc
import Logging
import Synchronization

/// Reads what is new in the log when it is asked to, across rotation, and remembers the last outcomes.
///
/// The log is a witness, not an authority: a line that does not come, or that somebody has forged, makes a count wrong and nothing else.
final class MailLog: Sendable {
    /// Outcomes remembered; about 5 MB.
    static let maximumOutcomes = 20_000
    /// Bytes read at once; a log that grows faster than we look loses its middle.
    private static let maximumRead = 8 << 20
    private static let maximumLine = 8_192
    private static let chunkSize = 256 * 1024

    private struct State {
        var descriptor: CInt = -1
        var inode: ino_t = 0
        var offset = 0
        var rest: [UInt8] = []
        var outcomes: [QueueID: [(number: Int, line: MailLogLine)]] = [:]
        var order: [QueueID] = []
        var number = 0
        var isLost = false
    }

    private let path: String
    private let logger: Logger
    private let state: Mutex<State>

    /// What was logged before is of no interest. A log that is not there yet is followed from its first line.
    init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
        state = Mutex(State())
        state.withLock { state in
            Self.open(path, &state)
            state.offset = Self.size(of: state.descriptor)
        }
    }

    deinit {
        state.withLock { if $0.descriptor >= 0 { close($0.descriptor) } }
    }

    /// Reads what is new. Returns the number of the last outcome so far.
    @discardableResult
    func refresh() -> Int {
        state.withLock { state in
            if state.descriptor < 0 { Self.open(path, &state) }
            readAll(&state)
            var status = stat()
            // Rotated: the old file has been read to its end, the new one is next.
            if stat(path, &status) == 0, status.st_ino != state.inode {
                if state.descriptor >= 0 { close(state.descriptor) }
                Self.open(path, &state)
                readAll(&state)
            }
            if state.descriptor < 0, !state.isLost { logger.warning("the mail log cannot be read", metadata: ["path": "\(path)"]) }
            state.isLost = state.descriptor < 0
            return state.number
        }
    }

    /// The last outcome of each of the message's recipients after the outcome of this number.
    func outcomes(of id: QueueID, after number: Int) -> [String: MailLogLine] {
        state.withLock { state in
            let lines = state.outcomes[id, default: []].filter { $0.number > number }
            return Dictionary(lines.map { ($0.line.recipient, $0.line) }) { _, last in last }
        }
    }

    private static func open(_ path: String, _ state: inout State) {
        state.descriptor = Glibc.open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        state.offset = 0
        state.rest = []
        guard state.descriptor >= 0 else { return }
        var status = stat()
        fstat(state.descriptor, &status)
        state.inode = status.st_ino
    }

    private static func size(of descriptor: CInt) -> Int {
        var status = stat()
        return descriptor >= 0 && fstat(descriptor, &status) == 0 ? Int(clamping: status.st_size) : 0
    }

    private func readAll(_ state: inout State) {
        guard state.descriptor >= 0 else { return }
        let size = Self.size(of: state.descriptor)
        // Emptied in place, or too far ahead.
        if size < state.offset { (state.offset, state.rest) = (0, []) }
        if size - state.offset > Self.maximumRead { (state.offset, state.rest) = (size - Self.maximumRead, []) }
        var chunk = [UInt8](repeating: 0, count: Self.chunkSize)
        while true {
            let got = pread(state.descriptor, &chunk, chunk.count, off_t(state.offset))
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return }
            state.offset += got
            state.rest += chunk[..<got]
            takeLines(&state)
        }
    }

    private func takeLines(_ state: inout State) {
        var start = 0
        while let end = state.rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            if let line = MailLogLine(String(decoding: state.rest[start..<end], as: UTF8.self)) { keep(line, &state) }
            start = end + 1
        }
        state.rest.removeFirst(start)
        if state.rest.count > Self.maximumLine { state.rest = [] }
    }

    private func keep(_ line: MailLogLine, _ state: inout State) {
        state.number += 1
        state.outcomes[line.id, default: []].append((number: state.number, line: line))
        state.order.append(line.id)
        guard state.order.count >= 2 * Self.maximumOutcomes else { return }
        // The older half goes at once.
        for id in state.order[..<Self.maximumOutcomes] {
            guard var lines = state.outcomes[id], !lines.isEmpty else { continue }
            lines.removeFirst()
            state.outcomes[id] = lines.isEmpty ? nil : lines
        }
        state.order.removeFirst(Self.maximumOutcomes)
    }
}
