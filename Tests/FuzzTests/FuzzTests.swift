// The properties of every parser, held to the kept inputs and to some seconds of chance. `make fuzz` goes further, with coverage.

import Glibc
import Testing

@Suite struct FuzzTests {
    /// Inputs a parser; more belong into `make fuzz`.
    private static let mutations = 400

    @Test(.timeLimit(.minutes(5)), arguments: FuzzTarget.all)
    func keptInputsBreakNothing(_ target: FuzzTarget) throws {
        let inputs = try KeptInputs(of: target)

        #expect(!inputs.all.isEmpty, "there is no input below \(inputs.corpus)")
        for (path, input) in inputs.all {
            #expect(throws: Never.self, "\(path)") { try target.check(input) }
        }
    }

    @Test(.timeLimit(.minutes(5)), arguments: FuzzTarget.all)
    func mutatedInputsBreakNothing(_ target: FuzzTarget) throws {
        let seed = getenv("FUZZ_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

        let find = try Self.find(of: target, seed: seed, mutations: Self.mutations)

        // Said before a trap too, which ends the process: the name of the test is the target's.
        #expect(find == nil, "FUZZ_SEED=\(seed)")
    }

    @Test(.timeLimit(.minutes(5)))
    func aFaultIsFoundAndTheSeedFindsItAgain() throws {
        let faulty = FuzzTarget("next-hops", maximumLength: 320) { input in
            try require(!input.contains(UInt8(ascii: "~")), "a tilde")
        }

        let finds = try (0..<2).map { _ in try Self.find(of: faulty, seed: 7, mutations: 5_000) }

        #expect(finds[0] != nil)
        #expect(finds[0] == finds[1])
        #expect(finds[0]?.reason == "a tilde")
    }

    @Test func theCutsOfAnInputLeaveNothingOut() throws {
        let plain = Pieces(Array("a plain text without any lengths".utf8))
        let cut = Pieces(Array("abcdefghij".utf8) + [0xff, 3, 0, 2])

        for pieces in [plain, cut] {
            #expect(pieces.chosen.flatMap { $0 } == pieces.bytes)
            #expect(pieces.singly.flatMap { $0 } == pieces.bytes)
        }
        #expect(cut.chosen.map(\.count) == [3, 1, 2, 3, 1])
        #expect(throws: Violation.self) { try cut.sameEveryWay(\.count) }
    }

    struct Find: Equatable {
        var reason: String
        var input: [UInt8]
    }

    /// The first mutated input that breaks a property.
    private static func find(of target: FuzzTarget, seed: UInt64, mutations: Int) throws -> Find? {
        let inputs = try KeptInputs(of: target)
        var mutator = Mutator(inputs: inputs.all.map(\.input), maximumLength: target.maximumLength, seed: seed)
        for _ in 0..<mutations {
            let input = mutator.next()
            do { try target.check(input) } catch { return Find(reason: "\(error)", input: input) }
        }
        return nil
    }
}

extension FuzzTarget: CustomTestStringConvertible {
    var testDescription: String { name }
}
