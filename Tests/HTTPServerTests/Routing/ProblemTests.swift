// Problem documents, byte by byte.
import HTTPTypes
import Testing

@testable import HTTPServer

@Suite struct ProblemTests {
    private func text(_ problem: Problem) -> String { String(decoding: problem.json, as: UTF8.self) }

    @Test func saysNoMoreThanTheStatusByDefault() {
        #expect(
            text(Problem(status: .notFound, detail: "There is nothing."))
                == #"{"type":"about:blank","title":"Not Found","status":404,"detail":"There is nothing."}"# + "\n")
    }

    @Test func hasAllItsMembers() {
        let problem = Problem(
            type: "https://example.org/p", status: .badRequest, title: "No", detail: "d", instance: "/i",
            errors: [.init(pointer: "/a", detail: "x"), .init(pointer: "/b/0", detail: "y")],
            extensions: [
                Problem.Extension("count", .integer(-3)), Problem.Extension("ok", .flag(false)), Problem.Extension("t", .text("\"")),
                Problem.Extension("l", .list(["a", "b"])), Problem.Extension("n", .null),
            ])

        #expect(
            text(problem)
                == #"{"type":"https://example.org/p","title":"No","status":400,"detail":"d","instance":"/i","#
                + #""errors":[{"pointer":"/a","detail":"x"},{"pointer":"/b/0","detail":"y"}],"#
                + #""count":-3,"ok":false,"t":"\"","l":["a","b"],"n":null}"# + "\n")
    }

    @Test func becomesAResponse() {
        let response = Problem(status: .serviceUnavailable, detail: "d", fields: [.retryAfter: "5"]).response

        #expect(response.status == .serviceUnavailable)
        #expect(response.fields[.contentType] == "application/problem+json")
        #expect(response.fields[.retryAfter] == "5")
    }

    @Test func escapesWhatJSONMustAndNothingElse() {
        let problem = Problem(status: .notFound, detail: "a\"\\/\n\r\t\u{0}\u{8}\u{1F}\u{7F}\u{80}\u{2028}é😀")

        #expect(
            text(problem)
                == #"{"type":"about:blank","title":"Not Found","status":404,"detail":"#
                + #""a\"\\/\n\r\t\u0000\u0008\u001f"# + "\u{7F}\u{80}\u{2028}é😀\"}\n")
    }
}
