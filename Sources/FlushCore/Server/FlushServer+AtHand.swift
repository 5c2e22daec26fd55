// What is answered from memory to whoever asks on the executor: no task, no turn.

extension FlushServer {
    public nonisolated func flushAtHand(_ request: FlushRequest) throws(FlushError) -> Flush? {
        guard executor.isIsolatingCurrentContext() == true else { return nil }
        let result = assumeIsolated { server in
            Result { () throws(FlushError) in try server.flushUnlessWaiting(request) }
        }
        return try result.get()
    }

    public nonisolated func statusAtHand() -> FlushStatus? {
        guard executor.isIsolatingCurrentContext() == true else { return nil }
        return assumeIsolated { $0.status() }
    }
}
