// The index's messages: compact slots, and a hash table over them that grows by one bucket at a time.

/// A message's slot.
struct MessageSlot {
    static let none: Int32 = -1

    var id: PackedQueueID
    /// Seconds since 1970, good until 2106.
    var arrival: UInt32
    /// Bytes, at most 4 GiB - 1.
    var size: UInt32
    /// Its first entry; the next free slot while this one is free.
    var firstEntry: Int32
    var place: MessagePlace
    /// Arrival and size were read from the queue; an `add` knows neither.
    var isDescribed: Bool
    /// The scan, counted round and round, by which (or during which) the message was last heard of.
    var scanMark: UInt8
    var isFree: Bool
}

/// All messages by their IDs.
///
/// Linear hashing: each insertion splits at most one bucket, so that none waits for the whole table to be made anew; an `add` is
/// answered while a delivery agent does nothing else.
struct MessageTable {
    private static let fewestBuckets = 16

    private(set) var slots = Slab<MessageSlot>()
    private(set) var count = 0
    private var longIDs = LongQueueIDs()
    /// The first slot of each bucket, and for each slot the next one of its bucket.
    private var heads = Slab<Int32>()
    private var followers = Slab<Int32>()
    /// Buckets when the current round of splitting began; always a power of two.
    private var roundSize = fewestBuckets
    private var firstFree = MessageSlot.none
    /// Nil when it must be looked up.
    private var knownOldest: UInt32?

    init() {
        for _ in 0..<Self.fewestBuckets { heads.append(MessageSlot.none) }
    }

    subscript(number: Int32) -> MessageSlot {
        get { slots[number] }
        _modify { yield &slots[number] }
    }

    func id(of number: Int32) -> QueueID {
        let packed = slots[number].id
        if let long = packed.longNumber, let id = longIDs.id(long) { return id }
        return QueueID(packed)
    }

    func find(_ id: QueueID) -> Int32? {
        guard let packed = known(id) else { return nil }
        var number = heads[bucket(of: packed)]
        while number != MessageSlot.none, slots[number].id != packed { number = followers[number] }
        return number == MessageSlot.none ? nil : number
    }

    /// Adds a message that `find` did not find.
    mutating func insert(_ id: QueueID, arrival: UInt32, size: UInt32, place: MessagePlace, isDescribed: Bool, scanMark: UInt8) -> Int32 {
        if count >= heads.count { split() }
        let packed = PackedQueueID(id) ?? PackedQueueID(longNumber: longIDs.insert(id))
        let slot = MessageSlot(
            id: packed, arrival: arrival, size: size, firstEntry: MessageSlot.none, place: place, isDescribed: isDescribed,
            scanMark: scanMark, isFree: false)
        let bucket = bucket(of: packed)
        let number: Int32
        if firstFree != MessageSlot.none {
            number = firstFree
            firstFree = slots[number].firstEntry
            slots[number] = slot
            followers[number] = heads[bucket]
        } else {
            number = slots.append(slot)
            followers.append(heads[bucket])
        }
        heads[bucket] = number
        knownOldest = count == 0 ? arrival : knownOldest.map { min($0, arrival) }
        count += 1
        return number
    }

    /// Corrects what an `add` does not know.
    mutating func describe(_ number: Int32, arrival: UInt32, size: UInt32) {
        if knownOldest == slots[number].arrival { knownOldest = nil }
        knownOldest = knownOldest.map { min($0, arrival) }
        slots[number].arrival = arrival
        slots[number].size = size
        slots[number].isDescribed = true
    }

    mutating func oldestArrival() -> UInt32? {
        guard count > 0 else { return nil }
        if knownOldest == nil { knownOldest = numbers.map { slots[$0].arrival }.min() }
        return knownOldest
    }

    /// The numbers of all messages, in no order that means anything.
    var numbers: some Sequence<Int32> { slots.indices.lazy.map { Int32($0) }.filter { !slots[$0].isFree } }

    mutating func remove(_ number: Int32) {
        if knownOldest == slots[number].arrival { knownOldest = nil }
        let packed = slots[number].id
        unchain(number, from: bucket(of: packed))
        if let long = packed.longNumber { longIDs.remove(long) }
        slots[number].isFree = true
        slots[number].firstEntry = firstFree
        firstFree = number
        count -= 1
    }

    private func known(_ id: QueueID) -> PackedQueueID? {
        if let packed = PackedQueueID(id) { return packed }
        return longIDs.number(of: id).map(PackedQueueID.init(longNumber:))
    }

    // MARK: Buckets

    private func bucket(of id: PackedQueueID) -> Int32 {
        var hasher = Hasher()
        hasher.combine(id)
        let hash = hasher.finalize()
        let bucket = hash & (2 * roundSize - 1)
        // The buckets of this round that are not split yet stand also for those that come of them.
        return Int32(bucket < heads.count ? bucket : hash & (roundSize - 1))
    }

    /// Makes one bucket more, and moves there what belongs to it from the one bucket that stood for it.
    private mutating func split() {
        let old = Int32(heads.count - roundSize)
        heads.append(MessageSlot.none)
        var number = heads[old]
        heads[old] = MessageSlot.none
        while number != MessageSlot.none {
            let next = followers[number]
            let bucket = bucket(of: slots[number].id)
            followers[number] = heads[bucket]
            heads[bucket] = number
            number = next
        }
        if heads.count == 2 * roundSize { roundSize = heads.count }
    }

    private mutating func unchain(_ number: Int32, from bucket: Int32) {
        guard heads[bucket] != number else {
            heads[bucket] = followers[number]
            return
        }
        var before = heads[bucket]
        while followers[before] != number { before = followers[before] }
        followers[before] = followers[number]
    }
}
