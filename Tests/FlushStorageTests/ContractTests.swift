// The ports' demands, on the real stores and on the fakes that other suites trust.

import DispatchSockets
import FlushCore
import FlushStorage
import FlushTesting
import Testing

@Suite struct ContractTests {
    @Test(arguments: FlushLogStoreContract.cases)
    func destinationLogs(_ demand: FlushLogStoreContract.Case) async throws {
        try await withTemporaryDirectory { directory in
            try await demand.check { try makeLogs(in: directory) }
        }
    }

    @Test(arguments: FlushLogStoreContract.cases)
    func inMemoryFlushLogStore(_ demand: FlushLogStoreContract.Case) async throws {
        let store = InMemoryFlushLogStore()
        try await demand.check { store }
    }

    @Test(arguments: FlushHistoryStoreContract.cases)
    func flushHistory(_ demand: FlushHistoryStoreContract.Case) async throws {
        try await withTemporaryDirectory { directory in
            try await demand.check { try Database(directory: directory).flushHistory }
        }
    }

    @Test(arguments: FlushHistoryStoreContract.cases)
    func inMemoryFlushHistoryStore(_ demand: FlushHistoryStoreContract.Case) async throws {
        let store = InMemoryFlushHistoryStore()
        try await demand.check { store }
    }

    @Test(arguments: RelayDomainStoreContract.cases)
    func relayDomainTable(_ demand: RelayDomainStoreContract.Case) async throws {
        try await withTemporaryDirectory { directory in
            try await demand.check { try Database(directory: directory).relayDomains }
        }
    }

    @Test(arguments: RelayDomainStoreContract.cases)
    func inMemoryRelayDomainStore(_ demand: RelayDomainStoreContract.Case) async throws {
        let store = InMemoryRelayDomainStore()
        try await demand.check { store }
    }

    /// The tables have a column for each field; a field that is added and not kept would be lost at a restart.
    @Test func knowsEveryFieldOfARecord() {
        let answerOnly = 2
        #expect(
            Mirror(reflecting: Samples.flush(1)).children.count == 23 + answerOnly,
            "a new field of Flush needs a column and a line in Samples.fullFlush")
        #expect(Mirror(reflecting: Samples.relayDomain("a.example")).children.count == 10, "a new field needs a column")
    }
}
