// Walks through the records of a Postfix queue file: type, length, data. Reads the envelope's two parts and skips the content.

import Glibc

/// The types that mean something here; Postfix has more.
enum QueueRecordType {
    static let size = UInt8(ascii: "C")
    static let time = UInt8(ascii: "T")
    static let sender = UInt8(ascii: "S")
    static let pendingRecipient = UInt8(ascii: "R")
    /// Delivered or bounced: the agent overwrites the one byte of the type.
    static let doneRecipient = UInt8(ascii: "D")
    static let message = UInt8(ascii: "M")
    static let extracted = UInt8(ascii: "X")
    static let end = UInt8(ascii: "E")
    static let pointer = UInt8(ascii: "p")
    /// A filter's REDIRECT: qmgr(8) sends the message here, and nowhere else, while a recipient is pending.
    static let redirection = UInt8(ascii: ">")

    static func isNeeded(_ type: UInt8) -> Bool {
        switch type {
        case size, time, sender, pendingRecipient, doneRecipient, pointer, redirection: true
        default: false
        }
    }
}

/// The numbers of the record that comes first.
struct QueueSizeRecord: Equatable {
    /// Bytes of records between the message's start and what was extracted from it; what Postfix shows as the message's size.
    var contentBytes: Int
    var dataOffset: Int
    var recipientCount: Int

    /// Numbers, right-aligned, a space between; older versions have fewer.
    init?(_ data: UnsafeRawBufferPointer) {
        var numbers: [Int] = []
        var current: Int?
        for byte in data {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                let (product, overflow) = (current ?? 0).multipliedReportingOverflow(by: 10)
                let (sum, more) = product.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
                guard !overflow, !more else { return nil }
                current = sum
            case UInt8(ascii: " "):
                if let current { numbers.append(current) }
                current = nil
            default: return nil
            }
        }
        if let current { numbers.append(current) }
        guard numbers.count >= 3 else { return nil }
        (contentBytes, dataOffset, recipientCount) = (numbers[0], numbers[1], numbers[2])
    }
}

/// A walk through a file. The buffer holds the part of the file that is being looked at.
struct QueueRecords {
    /// Enough for the whole envelope of most messages, and a page of the file.
    static let bufferSize = 4_096
    /// Postfix's own bound for a line, and so for an address, is half of it.
    static let minimumBuffer = 4_096
    /// A million recipients, and as many attributes again.
    static let maximumRecords = 2_000_000
    /// Every edit by a filter adds a jump or two.
    static let maximumJumps = 100_000
    private static let maximumHeader = 6
    /// Beyond any file, and far enough from the largest number for a record's header and length to be added.
    private static let maximumOffset = 1 << 60

    private let buffer: UnsafeMutableRawBufferPointer
    /// Reads at an offset and returns how many bytes; 0 at the end, negative for an error.
    private let read: (UnsafeMutableRawBufferPointer, Int) -> Int
    private let size: Int
    private var start = 0
    private var count = 0
    /// The file ends where the buffer does.
    private var reachesEnd = false

    /// - Parameter size: the file's, when it is known: nothing is read to find its end.
    init(buffer: UnsafeMutableRawBufferPointer, size: Int = .max, read: @escaping (UnsafeMutableRawBufferPointer, Int) -> Int) {
        precondition(buffer.count >= Self.minimumBuffer)
        self.buffer = buffer
        self.size = size
        self.read = read
    }

    /// Calls `visit` with the type and the data of every record of the envelope that means something, in the order in which Postfix reads
    /// them. The bytes are valid only during the call.
    mutating func walk(_ visit: (UInt8, UnsafeRawBufferPointer) -> Void) throws(QueueFileError) {
        var offset = 0
        var jumps = 0
        var contentBytes: Int?
        for number in 0..<Self.maximumRecords {
            let (type, dataStart, length) = try header(at: offset)
            let next = dataStart + length
            guard number > 0 || type == QueueRecordType.size else { throw .corrupt("it does not begin with a size record") }
            switch type {
            case QueueRecordType.end: return
            case QueueRecordType.message:
                guard let contentBytes else { throw .corrupt("the content has no size") }
                let (end, overflow) = next.addingReportingOverflow(contentBytes)
                guard !overflow, end <= Self.maximumOffset else { throw .corrupt("the content's size is beyond reason") }
                // What was extracted from the content begins behind it; anything else there means that the size is wrong.
                guard try header(at: end).type == QueueRecordType.extracted else { throw .corrupt("nothing follows the content at \(end)") }
                offset = end
                continue
            case let type where QueueRecordType.isNeeded(type):
                guard length <= buffer.count - Self.maximumHeader else { throw .corrupt("the record at \(offset) is too long") }
                try load(dataStart, length)
                let data = UnsafeRawBufferPointer(rebasing: buffer[(dataStart - start)..<(dataStart - start + length)])
                if type == QueueRecordType.size, number == 0 {
                    guard let size = QueueSizeRecord(data) else { throw .corrupt("the size record has no numbers") }
                    contentBytes = size.contentBytes
                }
                if type == QueueRecordType.pointer {
                    guard let target = Self.target(data) else { throw .corrupt("the pointer at \(offset) has no number") }
                    if target > 0 {
                        jumps += 1
                        guard jumps <= Self.maximumJumps else { throw .corrupt("its pointers go round in a circle") }
                        offset = target
                        continue
                    }
                } else {
                    visit(type, data)
                }
            default: break
            }
            offset = next
        }
        throw .corrupt("it has more than \(Self.maximumRecords) records")
    }

    private mutating func header(at offset: Int) throws(QueueFileError) -> (type: UInt8, dataStart: Int, length: Int) {
        if !holds(offset, Self.maximumHeader) { try fill(at: offset) }
        let available = start + count - offset
        guard available >= 2 else { throw .corrupt("it ends at \(offset), in the middle") }
        let type = buffer[offset - start]
        var length = 0
        for index in 1..<Self.maximumHeader {
            guard index < available else { throw .corrupt("it ends at \(offset + index), in the middle") }
            let byte = buffer[offset - start + index]
            length |= Int(byte & 0x7f) << (7 * (index - 1))
            if byte & 0x80 == 0 { return (type, offset + index + 1, length) }
        }
        throw .corrupt("the record at \(offset) has no length")
    }

    /// Makes sure that these bytes are in the buffer.
    private mutating func load(_ offset: Int, _ length: Int) throws(QueueFileError) {
        if !holds(offset, length) { try fill(at: offset) }
        guard offset + length <= start + count else { throw .corrupt("it ends in the middle of the record at \(offset)") }
    }

    /// Whether reading would bring no more of these bytes than there are.
    private func holds(_ offset: Int, _ length: Int) -> Bool {
        offset >= start && (offset + length <= start + count || (reachesEnd && offset <= start + count))
    }

    private mutating func fill(at offset: Int) throws(QueueFileError) {
        start = offset
        count = 0
        reachesEnd = offset >= size
        while count < buffer.count, !reachesEnd {
            let got = read(UnsafeMutableRawBufferPointer(rebasing: buffer[count...]), offset + count)
            if got < 0 { throw .system(operation: "read a queue file", code: errno) }
            count += got
            reachesEnd = got == 0 || offset + count >= size
        }
    }

    /// Fifteen digits, right-aligned.
    private static func target(_ data: UnsafeRawBufferPointer) -> Int? {
        var number = 0
        var hasDigit = false
        guard data.count <= 18 else { return nil }
        for byte in data {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                number = number * 10 + Int(byte - UInt8(ascii: "0"))
                hasDigit = true
            case UInt8(ascii: " ") where !hasDigit: continue
            default: return nil
            }
        }
        return hasDigit ? number : nil
    }
}
