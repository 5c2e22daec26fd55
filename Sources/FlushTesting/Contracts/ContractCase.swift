// What a port demands of everything behind it, as cases that any test target can run.

/// One demand of a port, checked against a store of the caller's.
///
/// A test runs all of them on its real store and on the fake:
///
///     @Test(arguments: FlushLogStoreContract.cases)
///     func keepsTheContract(_ demand: ContractCase<any FlushLogStore>) async throws {
///         try await demand.check { try DestinationLogs(…) }
///     }
public struct ContractCase<Port>: Sendable, CustomStringConvertible {
    /// Opens the store. A second call opens it again, as after a restart: what was kept is there.
    public typealias Opener = @Sendable () async throws -> Port

    /// The demand, as a sentence.
    public let description: String
    private let body: @Sendable (Opener) async throws -> Void

    init(_ description: String, _ body: @escaping @Sendable (Opener) async throws -> Void) {
        self.description = description
        self.body = body
    }

    /// - Parameter open: must begin with an empty store that no other case uses.
    /// - Throws: `ContractViolation`, or what the store threw.
    public func check(opening open: Opener) async throws { try await body(open) }
}

/// A port's demand that was not met.
public struct ContractViolation: Error, CustomStringConvertible {
    public let description: String
}

/// Throws a violation that shows both values unless they are equal.
func demand<Value: Equatable>(
    _ actual: Value, is expected: Value, _ what: String, file: StaticString = #fileID, line: UInt = #line
) throws {
    guard actual != expected else { return }
    throw ContractViolation(description: "\(file):\(line): \(what): expected \(expected), got \(actual)")
}
