// Requests the parser takes, in all portions they can arrive in.
import Glibc
import Testing

@testable import HTTPServer

@Suite struct RequestParserTests {
    struct Good: Sendable, CustomTestStringConvertible {
        var text: String
        var expected: [ParsedRequest]
        var testDescription: String { String(text.prefix(60)) }

        init(_ text: String, _ expected: ParsedRequest...) {
            self.text = text
            self.expected = expected
        }
    }

    static let good: [Good] = [
        Good("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .init(method: "GET", path: "/")),
        Good("GET /x?y=1&z=?2 HTTP/1.1\r\nhost:a\r\n\r\n", .init(method: "GET", path: "/x", query: "y=1&z=?2")),
        Good("\r\nGET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n", .init(method: "GET", path: "/")),
        Good(
            "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /q HTTP/1.1\r\nHost: b\r\n\r\n",
            .init(method: "POST", path: "/p", body: "hello"), .init(method: "GET", path: "/q", host: "b")),
        Good(
            "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "5\r\nhello\r\n00A;x=\"y\"\r\n, 10 bytes\r\n0\r\nDigest: z\r\nEmpty:\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            .init(method: "POST", path: "/p", body: "hello, 10 bytes"), .init(method: "GET", path: "/")),
        Good(
            "PUT /p HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: Chunked\r\n\r\n2 \t;q\r\nab\r\n0\r\n\r\n",
            .init(method: "PUT", path: "/p", body: "ab")),
        Good("GET / HTTP/1.0\r\n\r\n", .init(method: "GET", path: "/", host: "", keepsAlive: false)),
        Good(
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", .init(method: "GET", path: "/")),
        Good("GET / HTTP/1.2\r\nHost: a\r\n\r\n", .init(method: "GET", path: "/")),
        Good(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x , Close\r\n\r\n", .init(method: "GET", path: "/", keepsAlive: false)),
        Good("GET / HTTP/1.1\r\nHost: A.Example:8025\r\n\r\n", .init(method: "GET", path: "/", host: "a.example")),
        Good("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", .init(method: "GET", path: "/", host: "[::1]")),
        Good("GET / HTTP/1.1\r\nHost:\r\n\r\n", .init(method: "GET", path: "/", host: "")),
        Good(
            "GET http://B.example:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
            .init(method: "GET", path: "/x", query: "y", host: "b.example")),
        Good("GET HTTPS://b?y HTTP/1.1\r\nHost: a\r\n\r\n", .init(method: "GET", path: "/", query: "y", host: "b")),
        Good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", .init(method: "OPTIONS", path: "*")),
        Good("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", .init(method: "BREW", path: "/pot")),
        Good("GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\t b\r\n\r\n", .init(method: "GET", path: "/")),
        Good("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n", .init(method: "POST", path: "/")),
        Good(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nok",
            .init(method: "POST", path: "/", body: "ok")),
        Good("POST / HTTP/1.0\r\nExpect: x\r\n\r\n", .init(method: "POST", path: "/", host: "", keepsAlive: false)),
    ]

    @Test(arguments: good)
    func takesAGoodRequest(_ good: Good) {
        #expect(parse(good.text) == good.expected.map { .request($0) })
    }

    @Test(arguments: good)
    func portionsDoNotMatter(_ good: Good) {
        let bytes = Array(good.text.utf8)
        let expected = good.expected.map { Parsed.request($0) }

        #expect(parse(portions: bytes.map { [$0] }) == expected)
        for cut in 0...bytes.count {
            #expect(parse(portions: [Array(bytes[..<cut]), Array(bytes[cut...])]) == expected, "cut at \(cut)")
        }
    }

    @Test func holdsNothingBetweenRequests() {
        var parser = RequestParser()
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\nP".utf8)

        for end in [10, bytes.count - 1, bytes.count] {
            let start = end == 10 ? 0 : end == bytes.count ? end - 1 : 10
            bytes[start..<end].withUnsafeBytes { portion in
                var from = 0
                while case .request = parser.advance(over: portion, from: &from, limits: HTTPLimits()) {}
            }
            #expect(parser.isIdle == (end == bytes.count - 1))
        }
    }

    @Test func saysWhenTheClientWaitsForLeaveToSend() {
        var parser = RequestParser()
        let head = Array("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n".utf8)

        let first = head.withUnsafeBytes { bytes in
            var from = 0
            return parser.advance(over: bytes, from: &from, limits: HTTPLimits())
        }

        guard case .continueExpected = first else { return #expect(Bool(false), "got \(first)") }
        #expect(parser.isInBody)
    }

    @Test func looksUpFieldsInAnyCaseAndJoinsRepeatedOnes() throws {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-two:2\r\nX-ONE:  one \r\n\r\n"

        let head = try RequestHead(parsing: Array(text.utf8), limits: HTTPLimits())

        #expect(head.fields.combined("x-one") == "1, one")
        #expect(head.fields.combined("x-two") == "2")
        #expect(head.fields.combined("x-three") == nil)
    }

    @Test func aLongHeadInSmallPortionsIsScannedOnce() {
        // Byte by byte, eight times as long a head takes eight times as long, or sixty-four times if each byte meant a scan from the start.
        // Our own processor time: what else runs here does not count.
        func time(fields: Int) -> Double {
            var limits = HTTPLimits()
            limits.maximumFields = 2000
            let text = "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: 0123456789\r\n", count: fields) + "\r\n"
            let portions = Array(text.utf8).map { [$0] }
            let start = processorTime()
            let results = parse(portions: portions, limits: limits)
            let time = processorTime() - start
            #expect(results == [.request(.init(method: "GET", path: "/"))])
            return time
        }
        func best(fields: Int) -> Double { (0..<3).map { _ in time(fields: fields) }.min() ?? 0 }

        #expect(best(fields: 1900) < 24 * best(fields: 1900 / 8))
    }

    /// What this thread has computed so far, in seconds.
    private func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
