// Counting requests in bounded memory.

import DispatchSockets
import FlushCore
import SMTPServer
import Testing

@testable import ETRNGateway

/// `#expect` takes no mutating call.
private final class Counting {
    private var rates: RateLimit
    init(limit: Int, unit: Duration) { rates = RateLimit(limit: limit, unit: unit) }
    func admit(_ client: ClientKey, at now: Timestamp) -> Bool { rates.admit(client, at: now) }
}

@Suite struct RateLimitTests {
    private let start = Timestamp(seconds: 1_800_000_000)
    private func client(_ number: Int) -> ClientKey { .ipv4(UInt32(number)) }

    @Test func countsAreForgottenAtTheEndOfTheUnit() {
        let rates = Counting(limit: 2, unit: .seconds(60))

        #expect((0..<4).map { _ in rates.admit(client(1), at: start) } == [true, true, false, false])
        #expect(rates.admit(client(2), at: start + .seconds(59)))
        #expect(!rates.admit(client(1), at: start + .seconds(59)))
        #expect(rates.admit(client(1), at: start + .seconds(60)))
    }

    @Test func aClockThatWasSetBackLocksNobodyOut() {
        let rates = Counting(limit: 1, unit: .seconds(60))
        _ = rates.admit(client(1), at: start)

        #expect(rates.admit(client(1), at: start + .seconds(-86400)))
        #expect(!rates.admit(client(1), at: start + .seconds(-86400)))
    }

    @Test func zeroIsNoLimit() {
        let rates = Counting(limit: 0, unit: .seconds(60))

        #expect((0..<10_000).allSatisfy { _ in rates.admit(client(1), at: start) })
    }

    @Test func onlySoManyClientsAreCounted() {
        let rates = Counting(limit: 2, unit: .seconds(60))
        #expect((0..<RateLimit.maximumClients).allSatisfy { rates.admit(client($0), at: start) })

        #expect(!rates.admit(client(RateLimit.maximumClients), at: start))
        #expect(rates.admit(client(0), at: start))
        #expect(rates.admit(client(RateLimit.maximumClients), at: start + .seconds(60)))
    }

    @Test func aNetworkOfIPv6IsOneClient() throws {
        let (a, b, c) = (
            try SocketAddress(parsing: "[2001:db8::1]:1"), try SocketAddress(parsing: "[2001:db8::ffff:2]:2"),
            try SocketAddress(parsing: "[2001:db8:0:1::1]:1")
        )

        #expect(ClientKey(a) == ClientKey(b))
        #expect(ClientKey(a) != ClientKey(c))
    }
}
