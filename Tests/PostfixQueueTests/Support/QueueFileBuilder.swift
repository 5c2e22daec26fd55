// Makes queue files as Postfix writes them, and wrong ones.

/// Records in the order of the calls.
struct QueueFileBuilder {
    var bytes: [UInt8] = []

    static func record(_ type: Character, _ data: String) -> [UInt8] { record(type, Array(data.utf8)) }

    static func record(_ type: Character, _ data: [UInt8]) -> [UInt8] {
        var bytes = [type.asciiValue!]
        var length = data.count
        repeat {
            bytes.append(UInt8(length & 0x7f) | (length > 0x7f ? 0x80 : 0))
            length >>= 7
        } while length > 0
        return bytes + data
    }

    static func size(content: Int, offset: Int, recipients: Int) -> [UInt8] {
        record("C", [content, offset, recipients, 0, content, 0].map { padded($0) }.joined(separator: " "))
    }

    static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: " ", count: max(0, 15 - digits.count)) + digits
    }

    /// A whole message.
    static func message(
        sender: String = "a@sender.test", recipients: [String] = [], done: [String] = [], extracted: [String] = [], bodyLength: Int = 40,
        arrival: String = "1795374112 517661", redirection: String? = nil
    ) -> [UInt8] {
        var head: [UInt8] = record("T", arrival) + record("A", "create_time=1795374112") + record("S", sender)
        for address in done { head += record("O", address) + record("D", address) }
        for address in recipients { head += record("O", address) + record("R", address) }
        head += record("M", "")
        var content: [UInt8] = []
        while content.count < bodyLength { content += record("N", String(repeating: "x", count: min(200, bodyLength))) }
        var tail = record("X", "")
        for address in extracted { tail += record("R", address) }
        if let redirection { tail += record(">", redirection) }
        tail += record("E", "")
        let offset = size(content: 0, offset: 0, recipients: 0).count + head.count
        return size(content: content.count, offset: offset, recipients: recipients.count + done.count) + head + content + tail
    }
}
