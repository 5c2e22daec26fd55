// What the report prints, and how it ends.

import Testing

@testable import Doctor

@Suite struct ReportTests {
    @Test func aReportWithoutFailuresEndsWell() {
        let report = Report([.ok("socket", "answers")])

        #expect(report.lines == ["ok    socket: answers", "All is well: 1 thing looked at."])
        #expect(report.exit == .well)
    }

    @Test func warningsDoNotMakeItFail() {
        let report = Report([.ok("a", "b"), .warning("log", "is empty", advice: "look at it")])

        #expect(report.lines == ["ok    a: b", "warn  log: is empty; to do: look at it", "Nothing fails; 1 warning among 2 things looked at."])
        #expect(report.exit == .well)
    }

    @Test func failuresAreCountedAndMakeItFail() {
        let report = Report([
            .failure("a", "b", advice: "c"), .warning("d", "e", advice: "f"), .failure("g", "h", advice: "i"),
        ])

        #expect(
            report.lines.last
                == "2 failures, 1 warning among 3 things looked at; begin with the first, it may be the cause of the others.")
        #expect(report.exit == .unavailable)
        #expect(Report([.failure("a", "b", advice: "c")]).lines.last == "1 failure among 1 thing looked at.")
    }

    @Test func anUnreadableConfigurationHasItsOwnStatus() {
        #expect(Report([.failure("a", "b", advice: "c")], isConfigurationUnreadable: true).exit == .configuration)
    }

    @Test func aForeignTextNeverBreaksTheLine() {
        let report = Report([.ok("banner", "220 \u{1B}[2J\r\nFAIL  x\u{202E}")])

        #expect(report.lines.first == "ok    banner: 220  [2J  FAIL  x ")
        #expect(report.lines.count == 2)
    }

    @Test func aLongTextIsCut() {
        let report = Report([.ok("banner", String(repeating: "x", count: 100_000))])

        #expect((report.lines.first?.count ?? 0) < 1_100)
    }
}
