// Responses as they go over the wire.
import HTTPTypes
import Testing

@testable import HTTPServer

@Suite struct ResponseWriterTests {
    private let sunday = 784_111_777

    private func written(_ response: Response, _ framing: ResponseWriter.Framing = .init()) -> String {
        var writer = ResponseWriter()
        let rest = writer.encode(response, framing, now: sunday)
        return String(decoding: writer.bytes + (rest ?? []), as: UTF8.self)
    }

    @Test func writesStatusFieldsAndBody() {
        let response = Response(contentType: "text/plain", body: .text("hello"))

        #expect(
            written(response)
                == "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello")
    }

    @Test func headHasTheLengthButNoBody() {
        let text = written(Response(body: .text("hello")), .init(isHead: true))

        #expect(text.contains("\r\nContent-Length: 5\r\n") && text.hasSuffix("GMT\r\n\r\n"))
    }

    @Test(arguments: [HTTPResponse.Status.noContent, .notModified])
    func someAnswersHaveNoBodyAndNoLength(_ status: HTTPResponse.Status) {
        let text = written(Response(status: status, body: .text("hello")))

        #expect(text.hasSuffix("GMT\r\n\r\n"))
        #expect(!text.contains("Content-Length"))
    }

    @Test func saysWhatBecomesOfTheConnection() {
        let response = Response(status: .ok)

        #expect(!written(response).contains("Connection"))
        #expect(written(response, .init(keepsAlive: false)).contains("\r\nConnection: close\r\n"))
        #expect(written(response, .init(isVersion11: false)).contains("\r\nConnection: keep-alive\r\n"))
        #expect(written(response, .init(isVersion11: false, keepsAlive: false)).contains("\r\nConnection: close\r\n"))
    }

    @Test func aHandlerCannotChangeTheFraming() {
        let fields: HTTPFields = [
            .contentLength: "99", .transferEncoding: "chunked", .connection: "upgrade", .date: "never", .allow: "GET\r\nX: y",
        ]

        let text = written(Response(status: .ok, fields: fields, body: .text("x")))

        #expect(text == "HTTP/1.1 200 OK\r\nAllow: GET  X: y\r\nContent-Length: 1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nx")
        #expect(!text.contains("Length: 99") && !text.contains("chunked") && !text.contains("upgrade") && !text.contains("never"))
    }

    @Test(arguments: [ResponseWriter.Framing(), .init(isHead: true), .init(keepsAlive: false), .init(isVersion11: false)])
    func aPreparedResponseIsWrittenLikeTheOther(_ framing: ResponseWriter.Framing) {
        var response = Response(status: .notFound, contentType: "text/plain", body: .text("hello"))
        #expect(written(response.prepared, framing) == written(response, framing))

        var changed = response.prepared
        changed.status = .gone
        changed.body = .text("no longer")
        (response.status, response.body) = (changed.status, changed.body)
        #expect(written(changed, framing) == written(response, framing))
    }

    @Test func aLargeBodyIsNotCopied() {
        var writer = ResponseWriter()
        let body = [UInt8](repeating: 0x61, count: ResponseWriter.largestCopiedBody + 1)

        let rest = writer.encode(Response(body: .bytes(body)), .init(), now: sunday)

        #expect(rest == body)
        #expect(String(decoding: writer.bytes, as: UTF8.self).contains("\r\nContent-Length: 16385\r\n"))
    }

    @Test func theDateFollowsTheClock() {
        var writer = ResponseWriter()

        for second in [sunday, sunday, sunday + 1] {
            _ = writer.encode(Response(status: .ok), .init(), now: second)
            #expect(String(decoding: writer.bytes, as: UTF8.self).contains(HTTPDate.text(secondsSince1970: second)))
        }
    }

    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"), (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"), (1_795_392_000, "Mon, 23 Nov 2026 00:00:00 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ])
    func datesAreRight(_ seconds: Int, _ text: String) {
        #expect(HTTPDate.text(secondsSince1970: seconds) == text)
    }
}
