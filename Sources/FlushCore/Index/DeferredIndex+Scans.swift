// How a scan corrects the index while events go on.

extension DeferredIndex {
    /// More than this leaves during one scan only in a storm; then the scan's word is taken and the next one corrects it.
    private static let maximumLeftDuringScan = 200_000

    mutating func beginScan() {
        // 0 is what no message keeps: a wrap to it would take old marks for new ones.
        scanMark = scanMark == UInt8.max ? 1 : scanMark + 1
        leftDuringScan = []
    }

    /// Takes a scan's word for a message of which nothing has been heard since the scan began: events are newer than what it read.
    mutating func scanned(_ message: QueuedMessage, at time: Timestamp) -> Correction {
        if let left = leftDuringScan {
            if left.contains(message.id) { return .none }
            if left.count > Self.maximumLeftDuringScan { leftDuringScan = [] }
        }
        if let slot = messages.find(message.id), messages[slot].scanMark == scanMark {
            if !messages[slot].isDescribed {
                describe(slot, arrival: Self.seconds(message.arrival), size: UInt32(clamping: message.size))
            }
            return .none
        }
        return apply(message, isRecording: false, at: time)
    }

    /// Drops what the scan did not find, a slice of `limit` slots at a time. Returns what it dropped and where to go on; nil at the end.
    mutating func sweep(from start: Int, limit: Int, at time: Timestamp) -> (dropped: [(QueueID, [DomainName])], next: Int?) {
        let end = min(start + limit, messages.slots.count)
        var dropped: [(QueueID, [DomainName])] = []
        for number in Int32(start)..<Int32(end) where !messages[number].isFree && messages[number].scanMark != scanMark {
            let id = messages.id(of: number)
            dropped.append((id, domains(of: id)))
            drop(number, at: time)
        }
        return (dropped, end < messages.slots.count ? end : nil)
    }

    mutating func endScan() { leftDuringScan = nil }
}
