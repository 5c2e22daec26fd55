// What a server offered in its answer to EHLO.

/// The service extensions that a delivery uses.
struct MailCapabilities: Equatable {
    /// RFC 1870.
    var size = false
    /// RFC 6152.
    var eightBitMIME = false
    /// RFC 2920.
    var pipelining = false

    init() {}

    /// Reads them from the last answer to EHLO or HELO; a STARTTLS before it makes older ones void (RFC 3207, section 4.2).
    init(openedBy exchanges: [CurlExchange]) {
        guard let hello = exchanges.last(where: { $0.step == .hello }), hello.code / 100 == 2 else { return }
        for line in hello.lines.dropFirst() {
            switch line.dropFirst(4).prefix(while: { $0 != " " && $0 != "=" }).lowercased() {
            case "size": size = true
            case "8bitmime": eightBitMIME = true
            case "pipelining": pipelining = true
            default: break
            }
        }
    }
}
