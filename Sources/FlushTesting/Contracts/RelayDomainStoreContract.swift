// What every store of relay domains must do.

import FlushCore

public enum RelayDomainStoreContract {
    public typealias Case = ContractCase<any RelayDomainStore>

    public static let cases: [Case] = [
        Case("an empty store has none") { open in
            try await demand(open().all(), is: [], "all")
        },
        Case("every field comes back after a restart") { open in
            let full = [
                full("branch.example", "[mail.branch.example]:2525"), full("ship.example", "[IPv6:2001:db8::1]:25"),
                full("b.example", "mx.example:26"),
            ]
            let store = try await open()
            for relayDomain in full { try await store.put(relayDomain) }
            try await demand(open().all(), is: full.sorted { $0.domain < $1.domain }, "all")
        },
        Case("every delivery and state comes back") { open in
            var expected: [RelayDomain] = []
            for delivery in RelayDomain.Delivery.allCases {
                for state in RelayDomain.State.allCases {
                    var relayDomain = Samples.relayDomain("d\(expected.count).example")
                    relayDomain.delivery = delivery
                    relayDomain.state = state
                    expected.append(relayDomain)
                }
            }
            try await open().apply(put: expected, remove: [])
            try await demand(open().all(), is: expected, "all")
        },
        Case("they come in the order of their names") { open in
            let names = ["b.example", "a.b.example", "xn--bcher-kva.example", "a-b.example", "_a.example", "1.example"]
            let store = try await open()
            for name in names { try await store.put(Samples.relayDomain(name)) }
            try await demand(store.all().map(\.domain), is: names.map(Samples.domain).sorted(), "names")
        },
        Case("a relay domain that is put again takes its older version's place") { open in
            let store = try await open()
            try await store.put(Samples.relayDomain("a.example", version: 1))
            try await store.put(Samples.relayDomain("a.example", version: 2))
            try await demand(store.all(), is: [Samples.relayDomain("a.example", version: 2)], "all")
        },
        Case("a removed one is gone after a restart, and removing it again is no error") { open in
            let store = try await open()
            try await store.put(Samples.relayDomain("a.example"))
            try await store.put(Samples.relayDomain("b.example"))
            try await store.remove(Samples.domain("a.example"))
            try await store.remove(Samples.domain("a.example"))
            try await demand(open().all(), is: [Samples.relayDomain("b.example")], "all")
        },
        Case("removing one leaves those below it") { open in
            let store = try await open()
            try await store.put(Samples.relayDomain("a.example"))
            try await store.put(Samples.relayDomain("sub.a.example"))
            try await store.remove(Samples.domain("a.example"))
            try await demand(store.all(), is: [Samples.relayDomain("sub.a.example")], "all")
        },
        Case("a change of many puts and removes") { open in
            let store = try await open()
            for name in ["a.example", "b.example", "c.example"] { try await store.put(Samples.relayDomain(name)) }
            let put = (0..<500).map { Samples.relayDomain("d\($0).example") } + [Samples.relayDomain("b.example", version: 2)]
            try await store.apply(put: put, remove: ["a.example", "c.example", "unknown.example"].map(Samples.domain))
            try await demand(open().all(), is: put.sorted { $0.domain < $1.domain }, "all")
            try await store.apply(put: [], remove: [])
            try await demand(store.all().count, is: put.count, "after a change of nothing")
        },
    ]

    private static func full(_ name: String, _ nextHop: String) -> RelayDomain {
        var relayDomain = Samples.relayDomain(name, version: 7)
        if let hop = try? NextHop(parsing: nextHop) { relayDomain.nextHop = hop }
        relayDomain.delivery = .etrnOnly
        relayDomain.state = .draining
        relayDomain.comment = "it's \"quoted\"; 100 % ü 🛰\nsecond line"
        relayDomain.owner = "reseller-7"
        relayDomain.createdAt = Timestamp(microseconds: 1_700_000_000_000_001)
        relayDomain.updatedAt = Timestamp(microseconds: 1_800_000_000_999_999)
        relayDomain.updatedBy = "token:cust42"
        return relayDomain
    }
}
