// A log file that is written in pieces, rotated in every way, and full of nonsense.

import FlushCore
import Glibc
import Logging
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct LogReaderTests {
    /// A file in a directory of its own; removed with the fake.
    private let postfix: FakePostfix
    private var path: String { "\(postfix.layout.queueDirectory)/mail.log" }

    init() throws { postfix = try FakePostfix() }

    private func write(_ text: String, to other: String? = nil) { FakePostfix.append(text, to: other ?? path) }

    private func read(_ reader: inout LogReader) -> [String] {
        var lines: [String] = []
        _ = reader.read { lines.append($0) }
        return lines
    }

    @Test func beginsWithWhatIsNew() {
        write("old\n")
        var reader = LogReader(path: path)
        write("new\n")

        #expect(read(&reader) == ["new"])
        #expect(read(&reader).isEmpty)
    }

    @Test func aLineThatWasBegunBeforeIsNoLine() {
        write("old\nhalf of ")
        var reader = LogReader(path: path)
        write("a line\nnew\n")

        #expect(read(&reader) == ["new"])
    }

    @Test func halfALineWaitsForTheOther() {
        var reader = LogReader(path: path)
        write("fir")
        #expect(read(&reader).isEmpty)
        write("st\nsec")
        #expect(read(&reader) == ["first"])
        write("ond")
        #expect(read(&reader).isEmpty)
        write("\n")
        #expect(read(&reader) == ["second"])
    }

    @Test func aFileThatComesLaterIsReadFromItsBeginning() {
        var reader = LogReader(path: path)
        #expect(reader.read { _ in } == false)
        write("first\n")

        #expect(read(&reader) == ["first"])
    }

    @Test func aLogThatIsEmptiedBeginsAgain() {
        var reader = LogReader(path: path)
        write("a long line that was there\nhalf")
        #expect(read(&reader) == ["a long line that was there"])

        truncate(path, 0)
        write("next\n")

        #expect(read(&reader) == ["next"])
    }

    /// Between the rename and the writer's learning of it lines go to the old file, although the new one is there.
    @Test func theOldFileIsReadUntilTheNewOneIsWrittenTo() {
        var reader = LogReader(path: path)
        write("one\n")
        #expect(read(&reader) == ["one"])
        rename(path, path + ".1")
        write("")
        write("two, ha", to: path + ".1")
        #expect(read(&reader).isEmpty)
        write("lf\nthree\n", to: path + ".1")
        #expect(read(&reader) == ["two, half", "three"])

        write("four\n", to: path + ".1")
        write("five\n")

        #expect(read(&reader) == ["four", "five"])
        write("too late\n", to: path + ".1")
        write("six\n")
        #expect(read(&reader) == ["six"])
    }

    @Test func aLogThatIsGoneForAWhileLosesNothing() {
        var reader = LogReader(path: path)
        write("one\n")
        #expect(read(&reader) == ["one"])
        rename(path, path + ".1")
        write("two\n", to: path + ".1")
        #expect(read(&reader) == ["two"])

        write("three\n")

        #expect(read(&reader) == ["three"])
    }

    @Test func aLineBeyondReasonIsSkippedAndNothingElse() {
        var reader = LogReader(path: path)
        let long = String(repeating: "x", count: LogReader.maximumLine + 1)
        write("\(long)\nshort\n\(long)")
        #expect(read(&reader) == ["short"])
        write("\(long)]: A1: to=<u@branch.example>, status=sent (x)\nlast\n")

        #expect(read(&reader) == ["last"])
    }

    @Test func ofTooMuchTheEndIsRead() {
        var reader = LogReader(path: path)
        let line = String(repeating: "y", count: 999) + "\n"
        write(String(repeating: line, count: LogReader.maximumRead / 1_000 + 1_000))
        write("last\n")

        let lines = read(&reader)

        #expect(lines.last == "last")
        #expect(lines.count <= LogReader.maximumRead / 1_000 + 1)
        #expect(lines.dropLast().allSatisfy { $0.utf8.count == 999 })
    }

    @Test func whatIsNoFileIsNotRead() {
        mkfifo(path, 0o600)
        var reader = LogReader(path: path)

        #expect(reader.read { _ in } == false)
    }

    // MARK: What is remembered

    private func mailLog(limit: Int = MailLog.maximumLines) -> MailLog {
        write("it is there\n")
        return MailLog(path: path, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, limit: limit)
    }

    private func line(_ id: String, _ user: String, _ status: String) -> String {
        "x postfix/smtp[1]: \(id): to=<\(user)@branch.example>, relay=x, status=\(status) (text)\n"
    }

    @Test func whatWasToldIsNoNewsForTheNextAttempt() {
        let log = mailLog()
        let id = QueueID("A1")!
        write(line("A1", "u", "sent") + line("A1", "v", "deferred"))
        log.refresh()
        let first = log.account(of: id, after: 0)
        #expect(first.outcomes.keys.sorted() == ["u@branch.example"])
        log.told(id, first)
        write(line("A1", "v", "bounced") + "x postfix/qmgr[1]: A1: removed\n")
        log.refresh()

        let second = log.account(of: id, after: 0)

        #expect(second.outcomes.keys.sorted() == ["v@branch.example"])
        #expect(!first.isRemoved && second.isRemoved)
        #expect(log.account(of: id).outcomes.count == 2)
    }

    @Test func memoryIsBounded() {
        let log = mailLog(limit: 10)
        for number in 0..<95 { write(line("A\(number)", "u", "sent") + line("B", "u\(number)", "sent")) }
        log.refresh()

        #expect((0..<95).count { log.account(of: QueueID("A\($0)")!).last > 0 } <= 10)
        #expect(log.account(of: QueueID("B")!).outcomes.count <= 10)
        #expect(log.account(of: QueueID("A94")!).outcomes.count == 1)
    }

    @Test func aLogThatCannotBeReadIsNotWaitedFor() {
        let log = MailLog(path: path + "/not/there", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        log.refresh()

        #expect(!log.isReadable)
    }
}
