// Every refusal of the core goes to a problem and comes back as it was; answers go into bytes and come back.

import FlushCore
import FlushTesting
import FlushWire
import JSONText
import Testing

@Suite struct ProblemTests {
    private static let ship = Samples.domain("ship.example")

    @Test(arguments: [
        FlushError.notEligible(ship, reason: "it is not matched"), .messageNotFound(Samples.queueID(1)), .messageBusy(Samples.queueID(2)),
        .unsupported("use postsuper"), .versionMismatch(ship, current: 7), .versionMismatch(ship, current: nil),
        .mailQueued(ship, messages: 12), .tooManyRemovals(count: 5, allowed: 0), .ownedByOther(ship, owner: "o\"\\ü"),
        .ownedByOther(ship, owner: ""), .limited(retryAfter: .seconds(42)), .queueUnavailable(reason: "line\nline"),
    ])
    func aRefusalComesBackAsItWas(_ error: FlushError) throws {
        let problem = FlushProblem(error)
        #expect(problem.error == error)

        var writer = JSONWriter()
        writer.object { json in
            json.field("type", problem.kind.uri)
            json.field("detail", problem.detail)
            json.field("status", 999)
            for member in problem.members {
                // Names are literals in the code; a test may copy them.
                switch (member.name, member.value) {
                case ("domain", .text(let text)): json.field("domain", text)
                case ("queue_id", .text(let text)): json.field("queue_id", text)
                case ("owner", .text(let text)): json.field("owner", text)
                case ("version", .integer(let number)): json.field("version", number)
                case ("version", .null): json.field("version", nil as String?)
                case ("messages", .integer(let number)): json.field("messages", number)
                case ("removals", .integer(let number)): json.field("removals", number)
                case ("max_delete", .integer(let number)): json.field("max_delete", number)
                default: Issue.record("\(member)")
                }
            }
        }
        let value = try #require(JSONValue(parsing: writer.bytes))
        let answer = try #require(ProblemAnswer(value, status: problem.status, retryAfterSeconds: problem.retryAfterSeconds))
        #expect(answer.error == error)
    }

    @Test func aProblemWithoutItsMembersIsNoRefusalOfTheCore() throws {
        for kind in ProblemKind.allCases where kind != .limited && kind != .unavailable && kind != .unsupported {
            let value = JSONValue.object(["type": .text(kind.uri), "detail": .text("x"), "domain": .number(1), "queue_id": .text("-")])
            #expect(ProblemAnswer(value, status: 400)?.error == nil, "\(kind)")
        }
        #expect(ProblemAnswer(.object(["type": .text("about:blank")]), status: 404)?.kind == nil)
        #expect(ProblemAnswer(.array([]), status: 404) == nil)
    }

    @Test(arguments: [
        FlushSelector.domain(ship, subdomains: true), .domain(ship, subdomains: false), .message(Samples.queueID(3)), .everything,
    ])
    func aFlushComesBackAsItWas(_ selector: FlushSelector) throws {
        var flush = Samples.fullFlush(7, selector)
        flush.matched = 999
        flush.note = "a note"
        flush.coalesced = true
        var writer = JSONWriter()
        flush.write(to: &writer)

        #expect(try Flush(answer: try #require(JSONValue(parsing: writer.bytes))) == flush)
    }

    @Test(arguments: [
        0, 1, -1, 1_800_000_000_123_456, 951_782_400_000_000, 951_868_799_999_999, -62_167_219_200_000_000, 253_402_300_799_999_999,
        1_800_000_000_100_000,
    ])
    func aTimeComesBackAsItWas(_ microseconds: Int64) {
        let time = Timestamp(microseconds: microseconds)
        #expect(Timestamp(rfc3339: time.rfc3339) == time)
    }

    @Test(arguments: [
        "", "2026-11-22", "2026-11-22T18:00:00", "2026-11-22T18:00:00+01:00", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2026-11-22T24:00:00Z", "2026-11-22T18:60:00Z", "2026-11-22T18:00:60Z", "2026-11-22T18:00:00.Z", "2026-11-22T18:00:00.1234567Z",
        "2026-11-22t18:00:00z", " 2026-11-22T18:00:00Z", "2026-11-22T18:00:00Zx", "26-11-22T18:00:00Z",
    ])
    func whatIsNoTimeIsRefused(_ text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }
}
