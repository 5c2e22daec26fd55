// Whether a transfer can be said in SMTP, before anything of it is.

extension CurlTransfer {
    /// Why this transfer cannot be carried out; nil when it can.
    var defect: String? {
        guard !recipients.isEmpty else { return "no recipients" }
        guard recipients.count <= Self.maximumRecipients else { return "more than \(Self.maximumRecipients) recipients" }
        guard size >= 0 else { return "a negative size" }
        guard port > 0 else { return "port 0" }
        guard Self.isPlain(host, also: "-._:"), host.utf8.count <= 255 else { return "the host is no name or address" }
        guard Self.isPlain(heloName, also: "-._:[]"), heloName.utf8.count <= 255 else { return "the HELO name is no name or literal" }
        if let interface, !Self.isPlain(interface, also: "-._:!") || interface.utf8.count > 255 { return "the interface is no name or address" }
        if !sender.isEmpty, !Self.isSafeAddress(sender) { return "the sender's address cannot be sent in SMTP" }
        guard recipients.allSatisfy(Self.isSafeAddress) else { return "a recipient's address cannot be sent in SMTP" }
        return nil
    }

    /// Whether an address can stand between angle brackets as it is: printable ASCII, and neither brackets nor spaces outside quotes.
    public static func isSafeAddress(_ address: String) -> Bool {
        let bytes = Array(address.utf8)
        guard !bytes.isEmpty, bytes.count <= maximumAddressLength else { return false }
        var quoted = false
        var escaped = false
        for byte in bytes {
            guard (0x20...0x7e).contains(byte) else { return false }
            if escaped {
                escaped = false
            } else if byte == UInt8(ascii: "\\") {
                guard quoted else { return false }
                escaped = true
            } else if byte == UInt8(ascii: "\"") {
                quoted.toggle()
            } else if !quoted, byte == UInt8(ascii: "<") || byte == UInt8(ascii: ">") || byte == UInt8(ascii: " ") {
                return false
            }
        }
        return !quoted && !escaped
    }

    /// ASCII letters, digits and the bytes of `also`; not empty, and not something that an option's name begins with.
    static func isPlain(_ text: String, also: String) -> Bool {
        guard let first = text.utf8.first, first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
            default: also.utf8.contains(byte)
            }
        }
    }
}
