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
    /// "Date: …" and the end of the head, made anew when the second changes.
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
        if let head = response.head { bytes.append(contentsOf: head) } else { Self.appendHead(of: response, to: &bytes) }
        if !framing.keepsAlive {
            Self.append("Connection: close\r\n", to: &bytes)
        } else if !framing.isVersion11 {
            Self.append("Connection: keep-alive\r\n", to: &bytes)
        }
        appendDateAndEnd(now)
        guard !framing.isHead, Self.hasBody(response.status) else { return nil }
        switch response.body {
        case .bytes(let body):
            if body.count > Self.largestCopiedBody { return body }
            bytes.append(contentsOf: body)
            return nil
        }
    }

    /// What is the same whenever this response is sent: status line, fields, length.
    static func head(of response: Response) -> [UInt8] {
        var bytes: [UInt8] = []
        appendHead(of: response, to: &bytes)
        return bytes
    }

    private static func appendHead(of response: Response, to bytes: inout [UInt8]) {
        appendStatusLine(response.status, to: &bytes)
        for field in response.fields where !isOurs(field.name) {
            bytes.append(contentsOf: field.name.rawName.utf8)
            append(": ", to: &bytes)
            field.withUnsafeBytesOfValue { bytes.append(contentsOf: $0) }
            append("\r\n", to: &bytes)
        }
        guard hasBody(response.status) else { return }
        append("Content-Length: ", to: &bytes)
        appendDecimal(response.body.count, to: &bytes)
        append("\r\n", to: &bytes)
    }

    /// RFC 9110, sections 8.6 and 15.4.5: the others end with their fields.
    private static func hasBody(_ status: HTTPResponse.Status) -> Bool {
        status.code >= 200 && status.code != 204 && status.code != 304
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

    private static func appendStatusLine(_ status: HTTPResponse.Status, to bytes: inout [UInt8]) {
        if status.code == 200 { return append("HTTP/1.1 200 OK\r\n", to: &bytes) }
        append("HTTP/1.1 ", to: &bytes)
        bytes.append(0x30 + UInt8(status.code / 100))
        bytes.append(0x30 + UInt8(status.code / 10 % 10))
        bytes.append(0x30 + UInt8(status.code % 10))
        append(" ", to: &bytes)
        bytes.append(contentsOf: status.reasonPhrase.utf8)
        append("\r\n", to: &bytes)
    }

    private mutating func appendDateAndEnd(_ now: Int) {
        if now != dateSecond {
            dateSecond = now
            date = Array("Date: \(HTTPDate.text(secondsSince1970: max(now, 0)))\r\n\r\n".utf8)
        }
        bytes.append(contentsOf: date)
    }

    private static func appendDecimal(_ number: Int, to bytes: inout [UInt8]) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            bytes.append(0x30 + UInt8(number / divisor % 10))
            divisor /= 10
        }
    }

    @inline(__always)
    private static func append(_ text: StaticString, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
