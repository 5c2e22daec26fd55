// The index's messages: a slab of compact slots and a hash table over it.

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

/// All messages by their IDs. Open addressing with linear probing, four bytes a place, so that a slot's ID is stored once.
struct MessageTable {
    private(set) var slots: [MessageSlot] = []
    private(set) var count = 0
    private var longIDs = LongQueueIDs()
    private var places: [Int32] = Array(repeating: MessageSlot.none, count: 16)
    private var firstFree = MessageSlot.none
    /// Nil when it must be looked up.
    private var knownOldest: UInt32?

    subscript(number: Int32) -> MessageSlot {
        get { slots[Int(number)] }
        set { slots[Int(number)] = newValue }
    }

    func id(of number: Int32) -> QueueID {
        let packed = slots[Int(number)].id
        if let long = packed.longNumber, let id = longIDs.id(long) { return id }
        guard let id = QueueID(packed.text) else { preconditionFailure("a packed queue ID is a queue ID") }
        return id
    }

    func find(_ id: QueueID) -> Int32? {
        guard let packed = known(id) else { return nil }
        let place = placeIndex(of: packed)
        return places[place] == MessageSlot.none ? nil : places[place]
    }

    /// Adds a message that `find` did not find.
    mutating func insert(_ id: QueueID, arrival: UInt32, size: UInt32, place: MessagePlace, isDescribed: Bool, scanMark: UInt8) -> Int32 {
        if (count + 1) * 4 > places.count * 3 { grow() }
        let packed = PackedQueueID(id) ?? PackedQueueID(longNumber: longIDs.insert(id))
        let slot = MessageSlot(
            id: packed, arrival: arrival, size: size, firstEntry: MessageSlot.none, place: place, isDescribed: isDescribed,
            scanMark: scanMark, isFree: false)
        let number: Int32
        if firstFree != MessageSlot.none {
            number = firstFree
            firstFree = slots[Int(number)].firstEntry
            slots[Int(number)] = slot
        } else {
            number = Int32(slots.count)
            slots.append(slot)
        }
        places[placeIndex(of: packed)] = number
        knownOldest = count == 0 ? arrival : knownOldest.map { min($0, arrival) }
        count += 1
        return number
    }

    /// Corrects what an `add` does not know.
    mutating func describe(_ number: Int32, arrival: UInt32, size: UInt32) {
        if knownOldest == slots[Int(number)].arrival { knownOldest = nil }
        knownOldest = knownOldest.map { min($0, arrival) }
        slots[Int(number)].arrival = arrival
        slots[Int(number)].size = size
        slots[Int(number)].isDescribed = true
    }

    mutating func oldestArrival() -> UInt32? {
        guard count > 0 else { return nil }
        if knownOldest == nil { knownOldest = slots.lazy.filter { !$0.isFree }.map(\.arrival).min() }
        return knownOldest
    }

    mutating func remove(_ number: Int32) {
        if knownOldest == slots[Int(number)].arrival { knownOldest = nil }
        let packed = slots[Int(number)].id
        closeGap(at: placeIndex(of: packed))
        if let long = packed.longNumber { longIDs.remove(long) }
        slots[Int(number)].isFree = true
        slots[Int(number)].firstEntry = firstFree
        firstFree = number
        count -= 1
    }

    private func known(_ id: QueueID) -> PackedQueueID? {
        if let packed = PackedQueueID(id) { return packed }
        return longIDs.number(of: id).map(PackedQueueID.init(longNumber:))
    }

    /// The place that holds this ID, or the free place where it would go.
    private func placeIndex(of id: PackedQueueID) -> Int {
        let mask = places.count - 1
        var place = home(of: id, mask: mask)
        while places[place] != MessageSlot.none, slots[Int(places[place])].id != id { place = (place + 1) & mask }
        return place
    }

    private func home(of id: PackedQueueID, mask: Int) -> Int {
        var hasher = Hasher()
        hasher.combine(id)
        return hasher.finalize() & mask
    }

    /// Moves later members of the run back over the freed place, so that no search stops short (no tombstones are kept).
    private mutating func closeGap(at freed: Int) {
        let mask = places.count - 1
        var gap = freed
        var place = freed
        while true {
            place = (place + 1) & mask
            let number = places[place]
            guard number != MessageSlot.none else { break }
            let distanceHome = (place - home(of: slots[Int(number)].id, mask: mask)) & mask
            let distanceGap = (place - gap) & mask
            if distanceHome >= distanceGap {
                places[gap] = number
                gap = place
            }
        }
        places[gap] = MessageSlot.none
    }

    private mutating func grow() {
        places = Array(repeating: MessageSlot.none, count: places.count * 2)
        for number in slots.indices where !slots[number].isFree { places[placeIndex(of: slots[number].id)] = Int32(number) }
    }
}
