// A port that refuses everybody.

import DispatchSockets
import Glibc

/// A port of loopback that is bound, so that nobody else gets it, and at which nobody listens: connecting is refused while this lives.
public final class DeafPort: Sendable {
    public let port: UInt16
    private let descriptor: CInt

    public init() throws(ClientError) {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ClientError("socket", code: errno) }
        var code = SocketAddress.ipv4(0x7f00_0001, port: 0).withSystemAddress { Glibc.bind(descriptor, $0, $1) == 0 ? 0 : errno }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        if code == 0 {
            code = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) == 0 ? 0 : errno }
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        self.descriptor = descriptor
        // The descriptor is closed by deinit, which runs here too: everything is initialized.
        guard code == 0 else { throw ClientError("bind", code: code) }
    }

    deinit { close(descriptor) }
}
