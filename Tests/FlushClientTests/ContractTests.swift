// The core, and a client that asks it over a real socket: a caller cannot tell them apart.

import DispatchSockets
import FlushClient
import FlushCore
import FlushTesting
import Testing

@Suite(.timeLimit(.minutes(5))) struct ContractTests {
    @Test(arguments: FlushServiceContract.cases)
    func theCoreItself(_ demand: FlushServiceContract.Case) async throws {
        let loop = try EventLoop(label: "core")
        let trial = try await FlushServiceTrial(executor: loop)

        try await demand.check { trial }

        await trial.core.stop()
        await loop.run { loop.shutdown() }
    }

    @Test(arguments: FlushServiceContract.cases)
    func aClientOverTCP(_ demand: FlushServiceContract.Case) async throws {
        try await LiveAPI.run { live in
            try await withClient(of: live.url) { client in
                var trial = live.trial
                trial.service = client
                try await demand.check { [trial] in trial }
            }
        }
    }

    @Test func aClientOverAUnixSocketIsToldAsItsUser() async throws {
        try await LiveAPI.run { live in
            try await withClient(of: "unix:\(live.path)") { client in
                let flush = try await client.flush(FlushRequest(.everything, via: .smtp, requestedBy: "somebody else"))

                #expect(flush.requestedBy.hasPrefix("unix:"))
                #expect(flush.via == .http)
                #expect(try await client.flushes(FlushQuery()) == live.trial.core.flushes(FlushQuery()))
            }
        }
    }

    @Test func whatTheDaemonsHostDoesIsRefused() async throws {
        try await withClient(of: "unix:/nonexistent") { client in
            await #expect(throws: FlushError.self) { try await client.add(Samples.queueID(1), to: Samples.domain("a.example")) }
            await #expect(throws: FlushError.self) { try await client.refresh() }
            await #expect(throws: FlushError.self) { try await client.purge() }
        }
    }
}
