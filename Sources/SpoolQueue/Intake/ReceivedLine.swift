// Our own trace line (RFC 5321, section 4.4).

import DispatchSockets
import FlushCore
import SMTPServer

struct ReceivedLine {
    let text: String

    init(_ mail: SMTPEnvelope, by host: String, id: QueueID, at time: Timestamp) {
        // With more than one recipient the line would tell each of the others.
        let only = mail.recipients.count == 1 ? mail.recipients.first : nil
        let recipient = only.map { "\r\n\tfor \($0)" } ?? ""
        text =
            "Received: from \(SpoolEnvelope.line(mail.helo, limit: 255)) (\(Self.client(mail.peer.address)))\r\n"
            + "\tby \(host) (etrnd) with \(mail.protocolName) id \(id)\(recipient);\r\n"
            + "\t\(MailDate.text(time))\r\n"
    }

    /// The peer as an address literal; the host name of a UNIX socket's peer is ours.
    private static func client(_ address: SocketAddress) -> String {
        switch address {
        case .unix: "local socket"
        case .ipv4: "[\(address.host)]"
        case .ipv6: "[IPv6:\(address.host)]"
        }
    }
}
