// Queue IDs in 16 bytes, and the messages kept by them.

import FlushTesting
import Testing

@testable import FlushCore

@Suite(.timeLimit(.minutes(5))) struct PackedQueueIDTests {
    func packed(_ text: String) throws -> PackedQueueID {
        let id = try #require(QueueID(text))
        return try #require(PackedQueueID(id))
    }

    @Test(arguments: ["0", "_", "z", "4XyZ1", "682E8440A4", "4cRQyX3TqWz5Dl2", "____________________", "zzzzzzzzzzzzzzzzzzzz", "AaZz09_"])
    func givesBackTheText(_ text: String) throws {
        let id = try #require(QueueID(text))

        #expect(PackedQueueID(id)?.text == text)
        #expect(PackedQueueID(id)?.longNumber == nil)
    }

    @Test func doesNotPackMoreThanTwentyCharacters() throws {
        let id = try #require(QueueID(String(repeating: "a", count: 21)))

        #expect(PackedQueueID(id) == nil)
    }

    @Test func differsWhereTheTextDiffers() throws {
        let alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
        var seen: Set<PackedQueueID> = []
        var count = 0
        for first in alphabet {
            for second in alphabet {
                for text in ["\(first)\(second)", "aaaaaaaaa\(first)\(second)"] {
                    seen.insert(try packed(text))
                    count += 1
                }
            }
        }
        // "a" and "a0" are not the same although 0 could be a padding.
        for length in 1...20 { seen.insert(try packed(String(repeating: "0", count: length))) }

        // "00" is among the pairs already.
        #expect(seen.count == count + 19)
    }

    @Test func takesSixteenBytes() {
        #expect(MemoryLayout<PackedQueueID>.size == 16)
        #expect(MemoryLayout<MessageSlot>.stride == 32)
    }

    @Test func usesALongIDsNumberAgain() throws {
        var long = LongQueueIDs()
        let ids = try (0..<3).map { try #require(QueueID(String(repeating: "x", count: 250) + "\($0)")) }
        let first = long.insert(ids[0])
        let second = long.insert(ids[1])
        long.remove(first)

        let third = long.insert(ids[2])

        #expect(third == first)
        #expect(long.insert(ids[1]) == second)
        #expect(long.number(of: ids[0]) == nil)
        #expect(long.id(third) == ids[2])
    }
}

@Suite(.timeLimit(.minutes(5))) struct MessageTableTests {
    @Test func findsWhatItHoldsThroughHeavyChurn() throws {
        var random = SeededRandom(seed: 20_260_701)
        var table = MessageTable()
        var model: [QueueID: Int32] = [:]
        var ids: [QueueID] = []
        for number in 0..<3000 {
            let text = number % 7 == 0 ? String(repeating: "L", count: 30) + "\(number)" : "4c\(number)"
            ids.append(try #require(QueueID(text)))
        }
        for step in 0..<60_000 {
            let id = try #require(ids.randomElement(using: &random))
            if let slot = model[id] {
                #expect(table.find(id) == slot)
                guard Int.random(in: 0..<10, using: &random) < 6 else { continue }
                table.remove(slot)
                model[id] = nil
            } else {
                #expect(table.find(id) == nil)
                model[id] = table.insert(id, arrival: UInt32(step), size: 1, place: .deferred, isDescribed: true, scanMark: 0)
            }
        }

        #expect(table.count == model.count)
        for (id, slot) in model {
            #expect(table.find(id) == slot)
            #expect(table.id(of: slot) == id)
        }
        #expect(table.oldestArrival() == model.values.map { table[$0].arrival }.min())
        // Slots are used again: the slab never grew beyond what was held at once.
        #expect(table.slots.count <= ids.count)
    }
}
