// What is answered from memory to whoever asks on the executor: no task, no turn.

extension FlushServer {
    public nonisolated func flushAtHand(_ request: FlushRequest) throws(FlushError) -> Flush? {
        let result = atHand(on: executor) { server in
            Result { () throws(FlushError) in try server.flushUnlessWaiting(request) }
        }
        return try result?.get()
    }

    public nonisolated func statusAtHand() -> FlushStatus? { atHand(on: executor) { $0.status() } }
}
