// The format of a queue file: an envelope that people can read, a status byte per recipient, then the content as received.

import FlushCore

/// Writes and reads the head of a queue file.
///
///     etrnd-spool 1 <offset of the status bytes> <offset of the content> <checksum>
///     id 6aZ1b2C3d4E
///     arrival 1790000000000000
///     size 0000000001234
///     …
///     rcpt user@customer.example
///     status p
///
///     <content, CRLF line ends>
///
/// The checksum (FNV-1a, 64 bits) covers everything between the first line and the status bytes; these alone change once the
/// file is complete, each in place. The file's length tells whether the content is complete.
enum SpoolFile {
    /// The first line's bytes: two ten-digit offsets and a sixteen-digit checksum have fixed places.
    static let firstLineLength = 53
    /// No envelope is larger: `maximumRecipients` of the longest addresses that SMTP has fit, or a report's list of them.
    static let maximumHead = 8 << 20
    static let maximumRecipients = 10_000
    /// A first read of this size holds nearly every envelope.
    static let firstRead = 4_096

    private static let magic = "etrnd-spool 1 "
    /// Room for the largest `message_size_limit`, 1 TiB.
    private static let sizeDigits = 13

    /// Where things are in a file.
    struct Layout: Sendable, Equatable {
        var status: Int
        var content: Int
    }

    // MARK: Writing

    /// The bytes in front of the content. Their number does not depend on `envelope.size`, so a streamed message's head can be
    /// written again when its size is known.
    static func head(of envelope: SpoolEnvelope) -> [UInt8] {
        var body: [UInt8] = []
        func line(_ name: String, _ value: String) {
            body += name.utf8
            body.append(UInt8(ascii: " "))
            body += SpoolEnvelope.line(value, limit: 1_000).utf8
            body.append(UInt8(ascii: "\n"))
        }
        line("id", envelope.id.description)
        line("arrival", String(envelope.arrival.microseconds))
        line("size", padded(envelope.size, to: sizeDigits))
        line("body", envelope.body.rawValue)
        line("sender", envelope.sender)
        line("client", envelope.client)
        line("helo", envelope.helo)
        if let report = envelope.report {
            line("original", report.original.description)
            line("original-sender", report.sender)
            line("reason", report.reason)
            for address in report.failed { line("failed", address) }
        }
        for recipient in envelope.recipients { line("rcpt", recipient.address) }
        body += "status ".utf8

        let status = firstLineLength + body.count
        let content = status + envelope.recipients.count + 2
        var bytes = Array(magic.utf8)
        bytes += "\(padded(status, to: 10)) \(padded(content, to: 10)) \(hexadecimal(checksum(body[...])))\n".utf8
        bytes += body
        bytes += envelope.recipients.map(\.status.rawValue)
        bytes += "\n\n".utf8
        return bytes
    }

    // MARK: Reading

    /// Reads the first line. `bytes` is the file's beginning, at least `firstLineLength` bytes unless the file is shorter.
    static func layout(_ bytes: [UInt8], fileSize: Int) throws(SpoolError) -> Layout {
        guard bytes.count >= firstLineLength, bytes.starts(with: magic.utf8) else { throw .damaged("it does not begin as a queue file") }
        guard let status = decimal(bytes[14..<24]), let content = decimal(bytes[25..<35]), bytes[24] == 0x20, bytes[35] == 0x20,
            bytes[52] == 0x0a
        else { throw .damaged("its first line is malformed") }
        guard status > firstLineLength, content > status + 2, content <= maximumHead else { throw .damaged("its first line has impossible offsets") }
        guard content <= fileSize else { throw .damaged("it ends within its envelope") }
        return Layout(status: status, content: content)
    }

    /// Reads the envelope. `bytes` reaches to `layout.content` at least.
    static func envelope(_ bytes: [UInt8], layout: Layout, id: QueueID, fileSize: Int) throws(SpoolError) -> SpoolEnvelope {
        let body = bytes[firstLineLength..<layout.status]
        guard hexadecimal(checksum(body)).utf8.elementsEqual(bytes[36..<52]) else { throw .damaged("its envelope's checksum is wrong") }
        var envelope = try parse(body)
        guard envelope.id == id else { throw .damaged("it is the queue file of \(envelope.id)") }

        let states = bytes[layout.status..<layout.content]
        guard states.count == envelope.recipients.count + 2, states.suffix(2).elementsEqual([0x0a, 0x0a]) else {
            throw .damaged("it has not one status byte for each recipient")
        }
        for (i, byte) in states.dropLast(2).enumerated() {
            guard let status = SpoolEnvelope.Status(rawValue: byte) else { throw .damaged("the status of recipient \(i + 1) is unknown") }
            envelope.recipients[i].status = status
        }
        guard fileSize - layout.content == envelope.size else {
            throw .damaged("its content has \(fileSize - layout.content) bytes instead of \(envelope.size)")
        }
        return envelope
    }

    private static func parse(_ body: ArraySlice<UInt8>) throws(SpoolError) -> SpoolEnvelope {
        var fields: [String: String] = [:]
        var recipients: [SpoolEnvelope.Recipient] = []
        var failed: [String] = []
        for line in body.split(separator: UInt8(ascii: "\n")) {
            guard let text = String(validating: line, as: UTF8.self), let space = text.utf8.firstIndex(of: UInt8(ascii: " ")) else {
                throw .damaged("its envelope has a malformed line")
            }
            let value = String(text[text.utf8.index(after: space)...])
            switch text[..<space] {
            case "rcpt": recipients.append(SpoolEnvelope.Recipient(address: value))
            case "failed": failed.append(value)
            case let name: fields[String(name)] = value
            }
            guard recipients.count <= maximumRecipients, failed.count <= maximumRecipients else { throw .damaged("it has too many recipients") }
        }
        guard let id = fields["id"].flatMap({ QueueID($0) }), let arrival = fields["arrival"].flatMap({ Int64($0) }),
            (0...Timestamp.latest.microseconds).contains(arrival),
            let size = fields["size"].flatMap({ Int($0) }), size >= 0, let body = fields["body"].flatMap(SpoolEnvelope.Body.init),
            let sender = fields["sender"], !recipients.isEmpty
        else { throw .damaged("its envelope is incomplete") }

        var report: SpoolEnvelope.Report?
        if let original = fields["original"] {
            guard let original = QueueID(original), let sender = fields["original-sender"] else {
                throw .damaged("its envelope does not say what it reports about")
            }
            report = SpoolEnvelope.Report(original: original, sender: sender, failed: failed, reason: fields["reason"] ?? "")
        }
        return SpoolEnvelope(
            id: id, arrival: Timestamp(microseconds: arrival), size: size, body: body, sender: sender, client: fields["client"] ?? "",
            helo: fields["helo"] ?? "", report: report, recipients: recipients)
    }

    // MARK: Numbers

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }

    private static func padded(_ value: Int, to digits: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.utf8.count) + text
    }

    /// Digits only: `Int` would take a sign.
    private static func decimal(_ bytes: ArraySlice<UInt8>) -> Int? {
        var value = 0
        for byte in bytes {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }
}
