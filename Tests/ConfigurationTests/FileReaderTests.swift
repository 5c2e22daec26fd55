// Reading the file itself.

import Glibc
import Testing

@testable import Configuration

@Suite struct FileReaderTests {
    /// Runs `body` with the path of a new file of these bytes.
    private func withFile(_ bytes: [UInt8], _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/etrnd-configuration-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        defer { unlink(path) }
        try #require(write(descriptor, bytes, bytes.count) == bytes.count)
        close(descriptor)
        try body(path)
    }

    private func failure(_ path: String) -> String? {
        do throws(ConfigurationError) {
            _ = try Settings.load(path: path, environment: [:], overrides: [])
            return nil
        } catch { return error.description }
    }

    @Test func loadsAFile() throws {
        try withFile(Array("log_level = debug\n".utf8)) { path in
            let settings = try Settings.load(path: path, environment: [:], overrides: [])

            #expect(settings.text("log_level") == "debug")
            #expect(settings.effective.first { $0.name == "log_level" }?.source == "\(path):1")
        }
    }

    @Test func noPathMeansNoFile() throws {
        #expect(try Settings.load(path: nil, environment: [:], overrides: []).text("log_level") == "info")
    }

    @Test func aLineThatIsNotUTF8IsNamed() throws {
        try withFile(Array("log_level = debug\n# b".utf8) + [0xFC] + Array("cher\n".utf8)) { path in
            #expect(failure(path) == "\(path):2: the line is not valid UTF-8")
        }
    }

    @Test func aFileThatIsTooLongIsRefused() throws {
        try withFile([UInt8](repeating: UInt8(ascii: "\n"), count: LogicalLines.maximumFileSize + 1)) { path in
            #expect(failure(path) == "\(path): the file is longer than 1048576 bytes")
        }
    }

    @Test func whatIsNoRegularFileIsRefused() throws {
        #expect(failure("/no/such/etrnd.cf") == "/no/such/etrnd.cf: cannot open the file: No such file or directory")
        #expect(failure("/tmp") == "/tmp: not a regular file")
        #expect(failure("/dev/zero") == "/dev/zero: not a regular file")
        try withFile([]) { path in
            let fifo = path + ".fifo"
            try #require(mkfifo(fifo, 0o600) == 0)
            defer { unlink(fifo) }
            #expect(failure(fifo) == "\(fifo): not a regular file")
        }
    }
}
