// An intake that takes everything, tells what happens, and can be held up anywhere.

import DispatchSockets
import SMTPServer
import SocketTesting
import Synchronization

final class RecordingIntake: MailIntake {
    enum Happening: Equatable {
        case sender, recipient, begun, appended(Int), committing, committed, abandoned
    }

    struct State {
        var messages: [String] = []
        var envelopes: [SMTPEnvelope] = []
        var recipients = 0
        var abandoned = 0
    }

    let happenings: AsyncStream<Happening>
    private let tell: AsyncStream<Happening>.Continuation
    private let state = Mutex(State())
    /// Where the intake waits until the gate is opened.
    let holdSender: Gate?
    let holdAppend: Gate?
    let holdCommit: Gate?
    let isSuspending: Bool

    init(holdSender: Gate? = nil, holdAppend: Gate? = nil, holdCommit: Gate? = nil, isSuspending: Bool = false) {
        (happenings, tell) = AsyncStream.makeStream()
        self.holdSender = holdSender
        self.holdAppend = holdAppend
        self.holdCommit = holdCommit
        self.isSuspending = isSuspending
    }

    var messages: [String] { state.withLock { $0.messages } }
    var envelopes: [SMTPEnvelope] { state.withLock { $0.envelopes } }
    var recipients: Int { state.withLock { $0.recipients } }
    var abandoned: Int { state.withLock { $0.abandoned } }

    /// Returns when this has happened.
    func wait(for wanted: Happening) async {
        for await happening in happenings where happening == wanted { return }
    }

    func checkSender(_ sender: SMTPPath, declaredSize: Int?, peer: Peer) async -> SMTPReply? {
        tell.yield(.sender)
        await holdSender?.pass()
        return nil
    }

    func checkRecipient(_ recipient: SMTPPath, in envelope: SMTPEnvelope) async -> SMTPReply? {
        if isSuspending { await Task.yield() }
        state.withLock { $0.recipients += 1 }
        tell.yield(.recipient)
        return recipient.domain == "elsewhere.example" ? SMTPReply(554, "5.7.1", "Relay access denied") : nil
    }

    func begin(_ envelope: SMTPEnvelope) async throws(SMTPReply) -> any MessageWriter {
        state.withLock { $0.envelopes.append(envelope) }
        tell.yield(.begun)
        return Writer(intake: self)
    }

    private final class Writer: MessageWriter {
        let intake: RecordingIntake
        let content = Mutex<[UInt8]>([])

        init(intake: RecordingIntake) { self.intake = intake }

        func append(_ bytes: [UInt8]) async throws(SMTPReply) {
            let size = content.withLock { content in
                content.append(contentsOf: bytes)
                return content.count
            }
            intake.tell.yield(.appended(size))
            await intake.holdAppend?.pass()
        }

        func commit() async throws(SMTPReply) -> SMTPReply {
            intake.tell.yield(.committing)
            await intake.holdCommit?.pass()
            let text = content.withLock { String(decoding: $0, as: UTF8.self) }
            intake.state.withLock { $0.messages.append(text) }
            intake.tell.yield(.committed)
            return SMTPReply(250, "2.0.0", "Queued")
        }

        func abandon() async {
            intake.state.withLock { $0.abandoned += 1 }
            intake.tell.yield(.abandoned)
        }
    }
}
