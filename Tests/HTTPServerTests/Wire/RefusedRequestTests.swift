// Requests the parser must not take: each is a way to make two servers disagree, or to wear this one out.
import Testing

@testable import HTTPServer

@Suite struct RefusedRequestTests {
    struct Bad: Sendable, CustomTestStringConvertible {
        var status: Int
        var what: String
        var text: String
        var testDescription: String { what }

        init(_ status: Int, _ what: String, _ text: String) {
            (self.status, self.what, self.text) = (status, what, text)
        }

        /// A request with these fields and this rest.
        init(_ status: Int, _ what: String, fields: String, rest: String = "") {
            self.init(status, what, "POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n\(rest)")
        }

        init(_ status: Int, _ what: String, chunks: String) {
            self.init(status, what, fields: "Transfer-Encoding: chunked", rest: chunks)
        }
    }

    static let framing: [Bad] = [
        Bad(400, "both lengths", fields: "Content-Length: 3\r\nTransfer-Encoding: chunked", rest: "0\r\n\r\n"),
        Bad(400, "both lengths, other order", fields: "Transfer-Encoding: chunked\r\nContent-Length: 3", rest: "0\r\n\r\n"),
        Bad(400, "both lengths, unknown coding", fields: "Transfer-Encoding: gzip\r\nContent-Length: 3"),
        Bad(400, "two lengths that differ", fields: "Content-Length: 3\r\nContent-Length: 4", rest: "abcd"),
        Bad(400, "two equal lengths", fields: "Content-Length: 3\r\nContent-Length: 3", rest: "abc"),
        Bad(400, "a list of lengths", fields: "Content-Length: 3, 3", rest: "abc"),
        Bad(400, "a signed length", fields: "Content-Length: +3", rest: "abc"),
        Bad(400, "a negative length", fields: "Content-Length: -1"),
        Bad(400, "a hexadecimal length", fields: "Content-Length: 0x3", rest: "abc"),
        Bad(400, "a length with a space inside", fields: "Content-Length: 3 3", rest: "abc"),
        Bad(400, "an empty length", fields: "Content-Length:"),
        Bad(400, "a length beyond 64 bits", fields: "Content-Length: 18446744073709551617", rest: "a"),
        Bad(413, "a length beyond the bound", fields: "Content-Length: 1048577"),
        Bad(501, "an unknown coding", fields: "Transfer-Encoding: gzip"),
        Bad(501, "a coding before chunked", fields: "Transfer-Encoding: gzip, chunked"),
        Bad(501, "chunked twice", fields: "Transfer-Encoding: chunked, chunked"),
        Bad(501, "chunked on two lines", fields: "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        Bad(501, "chunked and identity", fields: "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        Bad(501, "an empty coding", fields: "Transfer-Encoding:"),
        Bad(501, "a quoted coding", fields: "Transfer-Encoding: \"chunked\""),
        Bad(400, "a vertical tab before the coding", fields: "Transfer-Encoding: \u{0B}chunked"),
        Bad(400, "chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Bad(417, "an unknown expectation", fields: "Expect: 200-ok"),
        Bad(417, "two expectations", fields: "Expect: 100-continue\r\nExpect: 100-continue"),
    ]

    static let chunks: [Bad] = [
        Bad(400, "a chunk without a size", chunks: "\r\nabc\r\n"),
        Bad(400, "a chunk size that is no number", chunks: "g\r\n"),
        Bad(400, "a chunk size with a prefix", chunks: "0x3\r\nabc\r\n"),
        Bad(400, "a signed chunk size", chunks: "+3\r\nabc\r\n"),
        Bad(400, "a negative chunk size", chunks: "-1\r\n"),
        Bad(400, "a space before the chunk size", chunks: " 3\r\nabc\r\n"),
        Bad(400, "a space after the chunk size", chunks: "3 \r\nabc\r\n"),
        Bad(400, "an overlong chunk size", chunks: "00000000000000003\r\nabc\r\n"),
        Bad(413, "a chunk size beyond 64 bits", chunks: "10000000000000003\r\nabc\r\n"),
        Bad(413, "a chunk beyond the bound", chunks: "100001\r\n"),
        Bad(413, "chunks that are too much together", chunks: "1\r\na\r\n100000\r\n"),
        Bad(400, "a bare LF after the chunk size", chunks: "3\nabc\r\n"),
        Bad(400, "a bare CR after the chunk size", chunks: "3\rabc\r\n"),
        Bad(400, "a bare LF in a chunk extension", chunks: "3;a\nabc\r\n"),
        Bad(400, "a bare CR in a chunk extension", chunks: "3;a\rb\r\nabc\r\n"),
        Bad(400, "a NUL in a chunk extension", chunks: "3;\0\r\nabc\r\n"),
        Bad(400, "more data than the size says", chunks: "3\r\nabcd\r\n"),
        Bad(400, "a bare LF after the data", chunks: "3\r\nabc\n0\r\n\r\n"),
        Bad(400, "a bare CR after the data", chunks: "3\r\nabc\r0\r\n\r\n"),
        Bad(400, "too long an extension", chunks: "3;" + String(repeating: "x", count: 4096) + "\r\nabc\r\n"),
        Bad(400, "a trailer without a name", chunks: "0\r\n: x\r\n\r\n"),
        Bad(400, "a folded trailer", chunks: "0\r\nA: x\r\n y\r\n\r\n"),
        Bad(400, "a space before a trailer's colon", chunks: "0\r\nA : x\r\n\r\n"),
        Bad(400, "a bare LF in a trailer", chunks: "0\r\nA: x\n\r\n"),
        Bad(400, "a bare LF at the end", chunks: "0\r\n\n"),
        Bad(400, "a bare CR at the end", chunks: "0\r\n\rG"),
        Bad(431, "too many trailers", chunks: "0\r\n" + String(repeating: "A:\r\n", count: 101) + "\r\n"),
        Bad(431, "too long a trailer", chunks: "0\r\nA:" + String(repeating: "x", count: 32 * 1024) + "\r\n"),
    ]

    static let fields: [Bad] = [
        Bad(400, "no Host", "GET / HTTP/1.1\r\n\r\n"),
        Bad(400, "two Hosts", fields: "Host: a"),
        Bad(400, "two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        Bad(400, "a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        Bad(400, "a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        Bad(400, "a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        Bad(400, "a Host with a bad port", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n"),
        Bad(400, "a Host with two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
        Bad(400, "a Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
        Bad(400, "a Host with a late bracket", "GET / HTTP/1.1\r\nHost: a[::1]\r\n\r\n"),
        Bad(400, "a Host with a tail after the bracket", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
        Bad(400, "a space before the colon", fields: "X : 1"),
        Bad(400, "a tab before the colon", fields: "X\t: 1"),
        Bad(400, "a hidden length", fields: "Content-Length : 3", rest: "abc"),
        Bad(400, "no colon", fields: "X"),
        Bad(400, "no name", fields: ": 1"),
        Bad(400, "a folded field", fields: "X: 1\r\n 2"),
        Bad(400, "a folded field, with a tab", fields: "X: 1\r\n\tTransfer-Encoding: chunked"),
        Bad(400, "a blank before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        Bad(400, "a bare CR in a value", fields: "X: 1\rY: 2"),
        Bad(400, "a NUL in a value", fields: "X: \0"),
        Bad(400, "a DEL in a value", fields: "X: \u{7F}"),
        Bad(400, "a NUL in a name", fields: "X\0: 1"),
        Bad(400, "a bracket in a name", fields: "X(: 1"),
        Bad(400, "a name beyond ASCII", fields: "\u{e9}: 1"),
        Bad(400, "bare LFs everywhere", "GET / HTTP/1.1\nHost: a\n\n"),
        Bad(400, "one bare LF", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"),
        Bad(400, "a bare LF for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        Bad(400, "CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
        Bad(400, "CR CR LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n"),
        Bad(431, "too many fields", fields: String(repeating: "X:\r\n", count: 100) + "X:"),
        Bad(431, "a field that never ends", "GET / HTTP/1.1\r\nX: " + String(repeating: "x", count: 32 * 1024)),
        Bad(431, "too long a head", fields: "X: " + String(repeating: "x", count: 32 * 1024)),
    ]

    static let requestLines: [Bad] = [
        Bad(400, "a blank first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "two empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a bare LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a TLS greeting", "\u{16}\u{03}\u{01}\u{02}"),
        Bad(400, "a method alone", "GET\r\n\r\n"),
        Bad(400, "a method with a colon", "GET: / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(501, "an endless method", String(repeating: "A", count: 33) + " / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "HTTP/0.9", "GET /\r\n\r\n"),
        Bad(400, "two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        Bad(400, "a tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a byte beyond ASCII in the target", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a CR in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a target without a slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "an authority for a target", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a URL without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a URL with a user", "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a URL for a scheme only", "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a URL, but no Host", "GET http://a/ HTTP/1.1\r\n\r\n"),
        Bad(400, "an asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(501, "CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(505, "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Bad(505, "HTTP/0.9 by number", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
        Bad(400, "a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n"),
        Bad(400, "a version with two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        Bad(400, "a version without a point", "GET / HTTP/11\r\nHost: a\r\n\r\n"),
        Bad(414, "too long a target", "GET /" + String(repeating: "x", count: 8192) + " HTTP/1.1\r\nHost: a\r\n\r\n"),
        Bad(414, "a target that never ends", "GET /" + String(repeating: "x", count: 8300)),
    ]

    @Test(arguments: framing + chunks)
    func refusesDoubtfulFraming(_ bad: Bad) {
        #expect(parse(bad.text).map(\.status) == [bad.status])
    }

    @Test(arguments: fields + requestLines)
    func refusesMalformedHeads(_ bad: Bad) {
        #expect(parse(bad.text).map(\.status) == [bad.status])
    }

    @Test(arguments: framing + chunks + fields + requestLines)
    func refusesItInSmallPortionsToo(_ bad: Bad) {
        let results = parse(portions: Array(bad.text.utf8).map { [$0] })

        #expect(results.map(\.status) == [bad.status])
    }

    @Test func namesTheLine() {
        #expect(
            parse("GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n")
                == [.refused(400, "Line 3 of the request head: no space may stand before the colon.")])
    }

    @Test func takesNothingAfterARefusal() {
        let smuggled =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "0\r\n\r\nDELETE / HTTP/1.1\r\nHost: a\r\n\r\n"

        #expect(parse(smuggled).compactMap(\.request) == [])
    }

    @Test func everyByteAloneAndAfterAMethodEndsInAnAnswer() {
        for byte in UInt8.min...UInt8.max {
            _ = parse(portions: [[byte], [byte, 0x0D, 0x0A, 0x0D, 0x0A]])
            _ = parse(portions: [Array("GET ".utf8) + [byte] + Array(" HTTP/1.1\r\nHost: ".utf8) + [byte, 0x0D, 0x0A, 0x0D, 0x0A]])
        }
    }
}
