// An actor's answers for whoever runs on its executor already.

extension Actor {
    /// What `body` returns, when this is called on the actor's executor; nil elsewhere.
    ///
    /// - Parameter executor: the actor's own.
    package nonisolated func atHand<Value>(on executor: any SerialExecutor, _ body: (isolated Self) throws -> Value) rethrows -> Value? {
        guard executor.isIsolatingCurrentContext() == true else { return nil }
        return try withoutActuallyEscaping(body) { body in
            // Unsafe: an isolated function is one of its actor that must be called on its executor, where this is, as the executor has just
            // said. `assumeIsolated` does the same, and asks the runtime for it again: a twentieth of an answer.
            try unsafeBitCast(body, to: ((Self) throws -> Value).self)(self)
        }
    }
}
