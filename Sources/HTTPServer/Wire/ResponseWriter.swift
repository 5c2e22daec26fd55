// Responses as bytes: status line, fields and small bodies in one buffer that is used again.
import Glibc
import HTTPTypes

/// Makes the bytes of one response at a time. No I/O but a look at the clock.
struct ResponseWriter {
    /// What the connection knows and the handler does not.
    struct Framing {
        var isHead = false
        var isVersion11 = true
        var keepsAlive = true
    }

    /// A body up to this size is copied behind its head; a larger one is written as it is.
    static let largestCopiedBody = 16 * 1024

    /// The head, and the body if it is small, of the last response.
    private(set) var bytes: [UInt8] = []
    /// "Date: …" with its line end, made anew when the second changes.
    private var date: [UInt8] = []
    private var dateSecond = -1

    init() {
        bytes.reserveCapacity(Self.largestCopiedBody + 4096)
    }

    /// Fills `bytes`.
    ///
    /// - Returns: a body to be written after them.
    mutating func encode(_ response: Response, _ framing: Framing, now: Int = time(nil)) -> [UInt8]? {
        bytes.removeAll(keepingCapacity: true)
        appendStatusLine(response.status)
        appendDate(now)
        for field in response.fields where !Self.isOurs(field.name) {
            bytes.append(contentsOf: field.name.rawName.utf8)
            append(": ")
            field.withUnsafeBytesOfValue { bytes.append(contentsOf: $0) }
            append("\r\n")
        }
        if !framing.keepsAlive {
            append("Connection: close\r\n")
        } else if !framing.isVersion11 {
            append("Connection: keep-alive\r\n")
        }
        let code = response.status.code
        // RFC 9110, sections 8.6 and 15.4.5: these end with their fields.
        guard code >= 200, code != 204, code != 304 else {
            append("\r\n")
            return nil
        }
        switch response.body {
        case .bytes(let body):
            append("Content-Length: ")
            appendDecimal(body.count)
            append("\r\n\r\n")
            if framing.isHead { return nil }
            if body.count > Self.largestCopiedBody { return body }
            bytes.append(contentsOf: body)
            return nil
        }
    }

    /// Where a message ends is decided here alone; a handler that could say otherwise could split a response.
    private static func isOurs(_ name: HTTPField.Name) -> Bool {
        switch name.canonicalName.utf8.count {
        case 4: name == .date
        case 10: name == .connection
        case 14: name == .contentLength
        case 17: name == .transferEncoding
        default: false
        }
    }

    private mutating func appendStatusLine(_ status: HTTPResponse.Status) {
        if status.code == 200 { return append("HTTP/1.1 200 OK\r\n") }
        append("HTTP/1.1 ")
        bytes.append(0x30 + UInt8(status.code / 100))
        bytes.append(0x30 + UInt8(status.code / 10 % 10))
        bytes.append(0x30 + UInt8(status.code % 10))
        append(" ")
        bytes.append(contentsOf: status.reasonPhrase.utf8)
        append("\r\n")
    }

    private mutating func appendDate(_ now: Int) {
        if now != dateSecond {
            dateSecond = now
            date = Array("Date: \(HTTPDate.text(secondsSince1970: max(now, 0)))\r\n".utf8)
        }
        bytes.append(contentsOf: date)
    }

    private mutating func appendDecimal(_ number: Int) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            bytes.append(0x30 + UInt8(number / divisor % 10))
            divisor /= 10
        }
    }

    @inline(__always)
    private mutating func append(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
