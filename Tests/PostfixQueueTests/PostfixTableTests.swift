// Look-ups by the real postmap(1); skipped where Postfix is not installed.

import Glibc
import Testing

@testable import PostfixQueue

@Suite(.enabled(if: access("/usr/sbin/postmap", X_OK) == 0, "postmap is not installed"), .timeLimit(.minutes(1)))
struct PostfixTableTests {
    /// With an empty main.cf, which is enough for postmap.
    private func withConfiguration(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/etrnd-tables-XXXXXX".utf8CString)
        let directory = String(cString: try #require(mkdtemp(&template)))
        let descriptor = open("\(directory)/main.cf", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
        #expect(descriptor >= 0)
        close(descriptor)
        defer {
            unlink("\(directory)/main.cf")
            rmdir(directory)
        }
        try body(directory)
    }

    @Test func theFirstKeyThatTheTableHasIsFound() throws {
        try withConfiguration { directory in
            let table = "inline:{{.example=smtp:[192.0.2.1]:25}, {other.example=x y}}"

            let row = try PostfixTable.lookUp(["a.example", ".example", "*"], in: table, configurationDirectory: directory)
            #expect(row?.key == ".example" && row?.value == "smtp:[192.0.2.1]:25")
            let other = try PostfixTable.lookUp(["other.example", ".example"], in: table, configurationDirectory: directory)
            #expect(other?.key == "other.example" && other?.value == "x y")
        }
    }

    @Test func noKeyIsNoRow() throws {
        try withConfiguration { directory in
            let row = try PostfixTable.lookUp(["none.example"], in: "inline:{a=b}", configurationDirectory: directory)

            #expect(row == nil)
        }
    }

    @Test func aTableThatCannotBeOpenedIsAnErrorAndNotNoRow() throws {
        try withConfiguration { directory in
            #expect(throws: MainCfError.self) {
                _ = try PostfixTable.lookUp(["a"], in: "texthash:/nonexistent/table", configurationDirectory: directory)
            }
            #expect(throws: MainCfError.self) {
                _ = try PostfixTable.lookUp(["a"], in: "no-such-type:x", configurationDirectory: directory)
            }
        }
    }

    @Test func moreKeysThanAPipeTakesAreRefused() throws {
        try withConfiguration { directory in
            #expect(throws: MainCfError.self) {
                let keys = [String(repeating: "k", count: PostfixCommand.maximumInput)]
                _ = try PostfixTable.lookUp(keys, in: "inline:{a=b}", configurationDirectory: directory)
            }
        }
    }
}
