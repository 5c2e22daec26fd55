// Addresses as people write them.

import DispatchSockets
import Testing

@Suite struct SocketAddressTests {
    @Test(arguments: ["127.0.0.1:8025", "0.0.0.0:0", "[::1]:8025", "[2001:db8::25]:65535", "unix:/run/etrnd.sock"])
    func printsWhatItHasRead(_ text: String) throws {
        #expect(try SocketAddress(parsing: text).description == text)
    }

    @Test func readsNumbersInTheOrderInWhichTheyAreWritten() throws {
        #expect(try SocketAddress(parsing: "10.1.2.3:25") == .ipv4(0x0a01_0203, port: 25))
        #expect(try SocketAddress(parsing: "[::1]:25") == .ipv6(1, port: 25, scope: 0))
    }

    @Test(arguments: [
        "", ":", "8025", "localhost:8025", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+25", "127.0.0.1: 25",
        "127.0.0.1:２５", "127.1:25", "256.0.0.1:25", "::1:25", "[::1]", "[::1]25", "[::1:25", "[127.0.0.1]:25", "[::1%nosuch0]:25",
        "[::1%]:25", "unix:", "unix:relative", "unix:/nul\0inside", "127.0.0.1\0:25", " 127.0.0.1:25",
    ])
    func refusesWhatIsNoAddressAndNamesIt(_ text: String) {
        #expect {
            try SocketAddress(parsing: text)
        } throws: { error in
            guard case .address(let message) = error as? SocketError else { return false }
            return message.contains(text.prefix { $0 != "\0" })
        }
    }

    @Test func acceptsAPathThatJustFits() throws {
        let fits = "/" + String(repeating: "p", count: SocketAddress.longestPath - 1)

        #expect(try SocketAddress(parsing: "unix:" + fits).host == fits)
        #expect(throws: SocketError.self) { try SocketAddress(parsing: "unix:" + fits + "p") }
    }
}
