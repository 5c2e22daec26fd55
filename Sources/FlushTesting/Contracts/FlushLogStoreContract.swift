// What every store of flush logs must do.

import FlushCore
import Synchronization

public enum FlushLogStoreContract {
    public typealias Case = ContractCase<any FlushLogStore>

    public static let cases: [Case] = [
        Case("an empty store loads nothing") { open in
            try await loads([:], open())
        },
        Case("a log comes back after a restart, in its order") { open in
            try await open().apply([.append(branch, [ids[2], ids[0]]), .append(ship, [ids[1]])])
            try await loads([branch: [ids[2], ids[0]], ship: [ids[1]]], open())
        },
        Case("appends add up, and an ID that came twice loads once") { open in
            let store = try await open()
            try await store.apply([.append(branch, [ids[0], ids[1], ids[0]])])
            try await store.apply([.append(branch, [ids[1], ids[2]])])
            try await loads([branch: [ids[0], ids[1], ids[2]]], open())
        },
        Case("a rewrite replaces the log, also one that was not there") { open in
            let store = try await open()
            try await store.apply([.append(branch, [ids[0], ids[1]]), .rewrite(branch, [ids[2]]), .rewrite(ship, [ids[3]])])
            try await store.apply([.append(branch, [ids[0]])])
            try await loads([branch: [ids[2], ids[0]], ship: [ids[3]]], open())
        },
        Case("a log rewritten to nothing is there and empty") { open in
            try await open().apply([.append(branch, [ids[0]]), .rewrite(branch, [])])
            try await loads([branch: []], open())
        },
        Case("a removed log is gone, and removing it again is no error") { open in
            let store = try await open()
            try await store.apply([.append(branch, [ids[0]]), .append(ship, [ids[1]])])
            try await store.apply([.remove(branch)])
            try await store.apply([.remove(branch)])
            try await loads([ship: [ids[1]]], open())
        },
        Case("the changes of a batch are carried out in order") { open in
            try await open().apply([
                .append(branch, [ids[0]]), .remove(branch), .append(branch, [ids[1]]), .rewrite(branch, [ids[2]]), .append(branch, [ids[3]]),
                .rewrite(ship, [ids[0]]), .remove(ship),
            ])
            try await loads([branch: [ids[2], ids[3]]], open())
        },
        Case("carrying out a batch again is harmless") { open in
            let store = try await open()
            let batch: [FlushLogChange] = [.append(branch, [ids[0]]), .rewrite(ship, [ids[1]]), .append(ship, [ids[2]]), .remove(field)]
            try await store.apply(batch)
            try await store.apply(batch)
            try await loads([branch: [ids[0]], ship: [ids[1], ids[2]]], open())
        },
        Case("nothing to do leaves nothing behind") { open in
            try await open().apply([])
            try await open().apply([.append(branch, []), .remove(ship)])
            try await loads([:], open())
        },
        Case("names that differ in one character have logs of their own") { open in
            let names = ["a-b.example", "a.b.example", "a_b.example", "b.example", "xn--bcher-kva.example"].compactMap { DomainName($0) }
            try await open().apply(zip(names, ids).map { .append($0, [$1]) })
            try await loads(Dictionary(uniqueKeysWithValues: zip(names, ids.map { [$0] })), open())
        },
        Case("the longest name and the longest ID are kept") { open in
            let label = String(repeating: "a", count: 63)
            let name = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
            let id = String(repeating: "Z", count: QueueID.maximumLength)
            guard let domain = DomainName(name), let longest = QueueID(id) else {
                throw ContractViolation(description: "the longest names are not valid")
            }
            try await open().apply([.rewrite(domain, [longest]), .append(domain, [ids[0]])])
            try await loads([domain: [longest, ids[0]]], open())
        },
        Case("many logs and long logs come back whole") { open in
            var expected: [DomainName: [QueueID]] = [:]
            for number in 0..<300 {
                if let domain = DomainName("d\(number).example") { expected[domain] = [ids[number % ids.count]] }
            }
            expected[branch] = (0..<20_000).compactMap { QueueID("4XyZ\($0)") }
            let store = try await open()
            try await store.apply(expected.map { .append($0.key, $0.value) })
            try await loads(expected, open())
            try await store.apply(expected.map { .rewrite($0.key, $0.value.reversed()) })
            try await loads(expected.mapValues { $0.reversed() }, open())
        },
    ]

    private static func loads(
        _ expected: [DomainName: [QueueID]], _ store: any FlushLogStore, file: StaticString = #fileID, line: UInt = #line
    ) async throws {
        let received = Mutex<[(DomainName, [QueueID])]>([])
        let skipped = try await store.load { domain, ids in received.withLock { $0.append((domain, ids)) } }
        let logs = received.withLock { $0 }
        try demand(skipped, is: 0, "skipped", file: file, line: line)
        try demand(Set(logs.map(\.0)).count, is: logs.count, "logs handed over once", file: file, line: line)
        let loaded = Dictionary(logs, uniquingKeysWith: { first, _ in first })
        try demand(loaded.keys.sorted(), is: expected.keys.sorted(), "domains", file: file, line: line)
        for (domain, ids) in expected { try demand(loaded[domain], is: ids, "IDs of \(domain)", file: file, line: line) }
    }

    private static let branch = Samples.domain("branch.example")
    private static let ship = Samples.domain("ship.example")
    private static let field = Samples.domain("field.example")
    private static let ids = (0..<9).map { Samples.queueID($0) }
}
