// Where in the queue directory a message's file is: hashed directories, short and long queue IDs.

import FlushCore

/// The paths of a Postfix queue, by `hash_queue_names` and `hash_queue_depth`.
public struct QueueLayout: Sendable, Equatable {
    /// Deeper is no use: it would be a million directories.
    public static let maximumDepth = 4
    /// Log files about messages, beside the messages' own folders.
    static let deferLogs = "defer"
    static let bounceLogs = "bounce"

    public let queueDirectory: String
    public let hashedNames: Set<String>
    public let depth: Int

    public init(queueDirectory: String, hashedNames: Set<String> = ["deferred", "defer"], depth: Int = 1) {
        self.queueDirectory = queueDirectory
        self.hashedNames = hashedNames
        self.depth = min(max(0, depth), Self.maximumDepth)
    }

    /// The directory that stands for this name, without hash directories.
    func root(of name: String) -> String { "\(queueDirectory)/\(name)" }

    func depth(of name: String) -> Int { hashedNames.contains(name) ? depth : 0 }

    func path(of id: QueueID, in name: String) -> String { "\(directory(of: id, in: name))/\(id)" }

    func path(of id: QueueID, in folder: QueueFolder) -> String { path(of: id, in: folder.name) }

    /// The directory, hash directories included, in which the message's file belongs.
    func directory(of id: QueueID, in name: String) -> String {
        let depth = depth(of: name)
        var path = root(of: name)
        guard depth > 0 else { return path }
        var text = Self.hashText(of: id).makeIterator()
        for _ in 0..<depth {
            path.append("/")
            path.append(Character(Unicode.Scalar(text.next() ?? UInt8(ascii: "_"))))
        }
        return path
    }

    /// What the names of the hash directories are taken from: a short ID itself, of a long one the microseconds in hexadecimal,
    /// because its first characters are the same for years.
    static func hashText(of id: QueueID) -> [UInt8] {
        let bytes = Array(id.description.utf8)
        guard let separator = bytes.lastIndex(of: LongQueueID.separator), separator >= LongQueueID.minimumTimeLength,
            let microseconds = LongQueueID.decode(bytes[(separator - LongQueueID.microsecondsLength)..<separator])
        else { return bytes }
        let digits = Array(String(microseconds, radix: 16, uppercase: true).utf8)
        return Array(repeating: UInt8(ascii: "0"), count: max(0, 5 - digits.count)) + digits
    }
}

/// Long queue IDs: seconds and microseconds in base 52, `z`, the file's inode in base 51.
enum LongQueueID {
    static let separator = UInt8(ascii: "z")
    static let microsecondsLength = 4
    /// Seconds take at least six characters.
    static let minimumTimeLength = 6 + microsecondsLength

    /// Digits and consonants, so that no ID spells a word.
    private static let alphabet = Array("0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz".utf8)

    /// A number of base 52; nil for a character outside the alphabet.
    static func decode(_ text: ArraySlice<UInt8>) -> Int? {
        var number = 0
        for byte in text {
            guard let digit = alphabet.firstIndex(of: byte) else { return nil }
            number = number * alphabet.count + digit
        }
        return number
    }
}
