// The epoll set, and the table that turns an event's token into the object that it is for.

import CLinux
import Glibc

/// An epoll set whose events carry a generation and a slot's number, never an object's address: an event for something that was
/// closed earlier in the same batch finds the slot empty, or its generation moved on, and is dropped.
final class Poller {
    enum Owner {
        case connection(Connection)
        case listener(Listener)
        case watch(Watch)
    }

    private struct Slot {
        var generation: UInt32 = 0
        var owner: Owner?
    }

    /// Events fetched by one call; more wait for the next round.
    static let batch = 256
    /// The token of `wakeup`, which no slot has.
    private static let wakeupToken = UInt64.max

    let descriptor: CInt
    /// An eventfd(2) in the set, to end a wait from another thread.
    let wakeup: CInt
    private let events: UnsafeMutablePointer<epoll_event>
    private var slots: [Slot] = []
    private var freeSlots: [UInt32] = []

    init() throws(SocketError) {
        descriptor = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .system(operation: "epoll_create1", code: errno) }
        wakeup = clinux_eventfd()
        guard wakeup >= 0, clinux_epoll_set(descriptor, EPOLL_CTL_ADD, wakeup, PollEvents.readable, Self.wakeupToken) == 0 else {
            let code = errno
            if wakeup >= 0 { close(wakeup) }
            close(descriptor)
            throw .system(operation: "eventfd", code: code)
        }
        events = .allocate(capacity: Self.batch)
        events.initialize(repeating: epoll_event(), count: Self.batch)
    }

    /// The descriptors are closed by whoever watches the set, after the watching has ended.
    deinit {
        events.deallocate()
    }

    /// How many descriptors are registered.
    var count: Int { slots.count - freeSlots.count }

    var owners: [Owner] { slots.compactMap(\.owner) }

    /// Starts watching; `interest` 0 still reports errors and hang-ups.
    func add(_ watched: CInt, interest: UInt32, owner: Owner) throws(SocketError) -> UInt64 {
        let slot = freeSlots.popLast() ?? UInt32(truncatingIfNeeded: slots.count)
        if Int(slot) == slots.count { slots.append(Slot()) }
        let token = UInt64(slots[Int(slot)].generation) << 32 | UInt64(slot)
        let code = clinux_epoll_set(descriptor, EPOLL_CTL_ADD, watched, interest, token)
        guard code == 0 else {
            freeSlots.append(slot)
            throw .system(operation: "epoll_ctl", code: code)
        }
        slots[Int(slot)].owner = owner
        return token
    }

    /// Changes what a registered descriptor is watched for.
    func modify(_ watched: CInt, token: UInt64, interest: UInt32) -> CInt {
        clinux_epoll_set(descriptor, EPOLL_CTL_MOD, watched, interest, token)
    }

    /// Takes a descriptor out of the set or puts it back; its token stays.
    func detach(_ watched: CInt) {
        _ = clinux_epoll_set(descriptor, EPOLL_CTL_DEL, watched, 0, 0)
    }

    func attach(_ watched: CInt, token: UInt64, interest: UInt32) -> CInt {
        clinux_epoll_set(descriptor, EPOLL_CTL_ADD, watched, interest, token)
    }

    /// Ends the watching and frees the slot. The descriptor may have been closed before by its owner.
    func remove(_ watched: CInt, token: UInt64) {
        let slot = Int(token & 0xffff_ffff)
        guard slots[slot].generation == UInt32(token >> 32), slots[slot].owner != nil else { return }
        detach(watched)
        slots[slot].owner = nil
        slots[slot].generation &+= 1
        freeSlots.append(UInt32(slot))
    }

    /// Fetches what is ready, at most a batch, and returns how many events that is. When nothing is, it waits so long for something.
    func poll(milliseconds: CInt = 0) -> Int {
        max(0, Int(clinux_epoll_poll(descriptor, events, CInt(Self.batch), milliseconds)))
    }

    /// Ends a wait. From any thread, as long as the descriptors are open.
    func wake() { clinux_eventfd_raise(wakeup) }

    /// The event of the last `poll`, if what it is for is still there.
    func event(_ index: Int) -> (owner: Owner, events: UInt32)? {
        let token = clinux_event_token(events + index)
        if token == Self.wakeupToken {
            clinux_eventfd_clear(wakeup)
            return nil
        }
        let slot = slots[Int(token & 0xffff_ffff)]
        guard slot.generation == UInt32(token >> 32), let owner = slot.owner else { return nil }
        return (owner, events[index].events)
    }
}
